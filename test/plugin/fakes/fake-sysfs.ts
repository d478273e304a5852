/** What a guest's kernel shows and tells of its disks, on order, for arrivals that real devices cannot be made to show. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { deadline } from '../../../common/deadline.ts';
import { silentLogger } from '../../../common/logging.ts';
import type { UeventSubscriber } from '../../../native/uevents.ts';
import { BlockDevices } from '../../../plugin/adapters/devices.ts';

type News = Parameters<UeventSubscriber>[0];

export function limitOf(t: ExecutionContext): AbortSignal {
  const limit = deadline(20_000, 'the test');
  t.teardown(() => limit[Symbol.dispose]());
  return limit.signal;
}

/** News on order, which also tells when somebody begins to wait for them. */
class FakeNews {
  readonly subscribers = new Set<UeventSubscriber>();
  subscribe(subscriber: UeventSubscriber): Disposable {
    this.subscribers.add(subscriber);
    return { [Symbol.dispose]: () => void this.subscribers.delete(subscriber) };
  }
  close(): void {
    this.subscribers.clear();
  }
  tell(event: News): void {
    for (const subscriber of this.subscribers) subscriber(event);
  }
}

/** A sysfs as the kernel shows it: the controller in its place below the bridges, everything else links to it. */
class FakeSysfs {
  readonly root: string;
  constructor(root: string) {
    this.root = root;
  }

  async write(path: string, content: string): Promise<void> {
    await mkdir(dirname(join(this.root, path)), { recursive: true });
    await writeFile(join(this.root, path), content);
  }

  async host(number: number, pciPath: string): Promise<void> {
    const real = join(this.root, 'devices', pciPath, `host${number}/scsi_host/host${number}`);
    await mkdir(real, { recursive: true });
    await mkdir(join(this.root, 'class/scsi_host'), { recursive: true });
    await symlink(real, join(this.root, `class/scsi_host/host${number}`));
  }

  async disk(host: number, unit: number, name: string, { wwid = '', sectors = 2048 } = {}): Promise<void> {
    const device = `class/scsi_device/${host}:0:${unit}:0/device`;
    await mkdir(join(this.root, device, 'block', name), { recursive: true });
    if (wwid !== '') await this.write(`${device}/wwid`, `${wwid}\n`);
    await this.write(`block/${name}/size`, `${sectors}\n`);
    await mkdir(join(this.root, 'class/block'), { recursive: true });
    await symlink(join(this.root, `block/${name}`), join(this.root, `class/block/${name}`));
  }

  async loop(number: number, sequence: number | undefined, sectors: number): Promise<void> {
    if (sequence !== undefined) await this.write(`block/loop${number}/diskseq`, `${sequence}\n`);
    await this.write(`block/loop${number}/size`, `${sectors}\n`);
  }
}

interface FakeGuest {
  readonly sysfs: FakeSysfs;
  readonly news: FakeNews;
  readonly devices: BlockDevices;
}

export async function fakeGuest(t: ExecutionContext): Promise<FakeGuest> {
  const root = await mkdtemp(join(tmpdir(), 'sysfs-'));
  t.teardown(() => rm(root, { recursive: true }));
  const news = new FakeNews();
  return {
    sysfs: new FakeSysfs(root),
    news,
    devices: BlockDevices.open({ logger: silentLogger, sysfsRoot: root, news }),
  };
}
