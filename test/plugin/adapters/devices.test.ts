import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { deadline } from '../../../common/deadline.ts';
import { Fault, faultOf } from '../../../common/fault.ts';
import { silentLogger } from '../../../common/logging.ts';
import type { Device } from '../../../native/channel/contract.ts';
import type { UeventSubscriber } from '../../../native/uevents.ts';
import { BlockDevices } from '../../../plugin/adapters/devices.ts';
import { run, scratch } from '../../native/support/scratch.ts';

type News = Parameters<UeventSubscriber>[0];

const mib = 1024 * 1024;

function limitOf(t: ExecutionContext): AbortSignal {
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

const blockAdd: Exclude<News, 'overflow'> = { action: 'add', devpath: '/x', subsystem: 'block', properties: new Map() };

test('a loop device that is there is found', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', mib) });
  using devices = BlockDevices.open({ logger: silentLogger });
  using expected = devices.expect();
  const device: Device = { kind: 'loop', path: loop.path, diskSequence: loop.diskSequence };
  t.is(await expected.find(device, limitOf(t)), loop.path);
});

test('what a device has read and written is counted', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', mib) });
  using devices = BlockDevices.open({ logger: silentLogger });
  const before = await devices.ioCount(loop.path);
  await run('dd', `if=${loop.path}`, 'of=/dev/null', 'bs=4096', 'count=1', 'iflag=direct', 'status=none');
  t.true((await devices.ioCount(loop.path)) > before);
});

test('a device that is gone reads and writes nothing', async (t) => {
  using devices = BlockDevices.open({ logger: silentLogger });
  t.is(await devices.ioCount('/dev/sd-gone'), 0);
});

test('a loop device that is used again for another disk is not taken for the one meant', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', mib) });
  using devices = BlockDevices.open({ logger: silentLogger });
  using expected = devices.expect();
  const gone = AbortSignal.abort(new Fault('DeadlineExceeded', 'too long'));
  const device: Device = { kind: 'loop', path: loop.path, diskSequence: loop.diskSequence - 1 };
  const fault = faultOf(await t.throwsAsync(expected.find(device, gone)));
  t.is(fault.code, 'DeviceTimeout');
  t.true(fault.message.includes(loop.path));
});

test("a loop device that has no size yet is found when the kernel's own news say that it has one", async (t) => {
  const place = await scratch(t);
  const file = await place.sparseFile('disk', 0);
  const loop = await place.attach({ backingPath: file });
  using devices = BlockDevices.open({ logger: silentLogger });
  using expected = devices.expect();
  const device: Device = { kind: 'loop', path: loop.path, diskSequence: loop.diskSequence };
  const finding = expected.find(device, limitOf(t));
  await truncate(file, mib);
  await run('losetup', '--set-capacity', loop.path);
  t.is(await finding, loop.path);
});

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

async function fakeGuest(t: ExecutionContext): Promise<{ sysfs: FakeSysfs; news: FakeNews; devices: BlockDevices }> {
  const root = await mkdtemp(join(tmpdir(), 'sysfs-'));
  t.teardown(() => rm(root, { recursive: true }));
  const news = new FakeNews();
  return {
    sysfs: new FakeSysfs(root),
    news,
    devices: BlockDevices.open({ logger: silentLogger, sysfsRoot: root, news }),
  };
}

/** Looks once. */
async function seen(devices: BlockDevices, device: Device): Promise<string | undefined> {
  using expected = devices.expect();
  try {
    return await expected.find(device, AbortSignal.abort(new Fault('DeadlineExceeded', 'too long')));
  } catch (error) {
    if (faultOf(error).code !== 'DeviceTimeout') throw error;
    return undefined;
  }
}

test('fake sysfs: a loop device counts with its number and a size only', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  const device: Device = { kind: 'loop', path: '/dev/loop7', diskSequence: 12 };
  t.is(await seen(devices, device), undefined);
  await sysfs.loop(7, 12, 0);
  t.is(await seen(devices, device), undefined);
  await sysfs.loop(7, 11, 8);
  t.is(await seen(devices, device), undefined);
  await sysfs.loop(7, 12, 8);
  t.is(await seen(devices, device), '/dev/loop7');
});

test('fake sysfs: before Linux 5.15 there are no numbers, and the size must do', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.loop(7, undefined, 8);
  t.is(await seen(devices, { kind: 'loop', path: '/dev/loop7', diskSequence: 0 }), '/dev/loop7');
  t.is(await seen(devices, { kind: 'loop', path: '/dev/loop7', diskSequence: 3 }), undefined);
});

for (const [title, named] of [
  ['its full PCI address', { pciSlot: '0000:03:00.0', pciBus: '' }],
  ['its PCI address without the domain, in capitals', { pciSlot: '03:00.0', pciBus: '' }],
  ["its hypervisor's slot number", { pciSlot: '192', pciBus: '' }],
  ['its hypervisor slot number, which counts more than the bus', { pciSlot: '192', pciBus: '15.0' }],
  ['the bridge before it', { pciSlot: '160', pciBus: '16.0' }],
  ['bus and device number', { pciSlot: '0', pciBus: '03' }],
  ['bus with domain and device number', { pciSlot: '0', pciBus: '0000:03' }],
] as const) {
  test(`fake sysfs: a SCSI disk is found by ${title}`, async (t) => {
    const { sysfs, devices } = await fakeGuest(t);
    await sysfs.host(2, 'pci0000:00/0000:00:15.0/0000:02:00.0');
    await sysfs.host(3, 'pci0000:00/0000:00:16.0/0000:03:00.0');
    await sysfs.write('bus/pci/slots/192/address', '0000:03:00\n');
    await sysfs.disk(2, 5, 'sdb');
    t.is(await seen(devices, { kind: 'scsi', ...named, unit: 5 }), undefined);
    await sysfs.disk(3, 5, 'sdc');
    t.is(await seen(devices, { kind: 'scsi', ...named, unit: 5 }), '/dev/sdc');
    t.is(await seen(devices, { kind: 'scsi', ...named, unit: 6 }), undefined);
  });
}

test('fake sysfs: a SCSI disk of virtio is found below its controller', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.host(0, 'pci0000:00/0000:00:04.0/virtio1');
  await sysfs.disk(0, 63, 'sda');
  t.is(await seen(devices, { kind: 'scsi', pciSlot: '00:04.0', pciBus: '', unit: 63 }), '/dev/sda');
  t.is(await seen(devices, { kind: 'scsi', pciSlot: '4', pciBus: '00', unit: 63 }), '/dev/sda');
});

for (const [wwn, wwid, isMeant] of [
  ['0x5000C50015EA71AC', 'naa.5000c50015ea71ac', true],
  ['naa.5000c50015ea71ac', 'naa.5000c50015ea71ac', true],
  ['0x5000c50015ea71ad', 'naa.5000c50015ea71ac', false],
  [undefined, 'naa.5000c50015ea71ac', true],
  ['0x5000c50015ea71ad', '', true],
] as const) {
  test(`fake sysfs: a SCSI disk that shows ${wwid || 'no name'} is ${isMeant ? '' : 'not '}the one named ${wwn ?? 'nothing'}`, async (t) => {
    const { sysfs, devices } = await fakeGuest(t);
    await sysfs.host(2, 'pci0000:00/0000:00:03.0');
    await sysfs.disk(2, 0, 'sda', { wwid });
    const device: Device = { kind: 'scsi', pciSlot: '00:03.0', pciBus: '', unit: 0, ...(wwn !== undefined && { wwn }) };
    t.is(await seen(devices, device), isMeant ? '/dev/sda' : undefined);
  });
}

test('fake sysfs: a SCSI disk without a size is not there yet', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.host(2, 'pci0000:00/0000:00:03.0');
  await sysfs.disk(2, 0, 'sda', { sectors: 0 });
  t.is(await seen(devices, { kind: 'scsi', pciSlot: '00:03.0', pciBus: '', unit: 0 }), undefined);
});

for (const news of [blockAdd, 'overflow'] as const) {
  test(`fake sysfs: a disk that arrives is found at the news of ${news === 'overflow' ? 'lost news' : 'a block device'}`, async (t) => {
    const guest = await fakeGuest(t);
    using expected = guest.devices.expect();
    const finding = expected.find({ kind: 'loop', path: '/dev/loop7', diskSequence: 12 }, limitOf(t));
    guest.news.tell({ ...blockAdd, subsystem: 'net' });
    await guest.sysfs.loop(7, 12, 8);
    guest.news.tell(news);
    t.is(await finding, '/dev/loop7');
  });
}

test('fake sysfs: news between expect and find are not missed, and none are listened to afterwards (containerd #8617)', async (t) => {
  const guest = await fakeGuest(t);
  const expected = guest.devices.expect();
  await guest.sysfs.loop(7, 12, 8);
  guest.news.tell(blockAdd);
  t.is(await expected.find({ kind: 'loop', path: '/dev/loop7', diskSequence: 12 }, limitOf(t)), '/dev/loop7');
  expected[Symbol.dispose]();
  t.is(guest.news.subscribers.size, 0);
});

for (const isReplaced of [false, true]) {
  test(`fake sysfs: a detached disk is gone when its name is ${isReplaced ? "another disk's" : "nobody's"}`, async (t) => {
    const { sysfs, news, devices } = await fakeGuest(t);
    await sysfs.host(2, 'pci0000:00/0000:00:03.0');
    await sysfs.disk(2, 0, 'sda');
    using leaving = devices.leaving('/dev/sda');
    const late = AbortSignal.abort(new Fault('DeadlineExceeded', 'too long'));
    const fault = faultOf(await t.throwsAsync(leaving.gone(late)));
    t.is(fault.code, 'DeviceTimeout');
    const gone = leaving.gone(limitOf(t));
    await rename(join(sysfs.root, 'block/sda'), join(sysfs.root, 'former'));
    await rm(join(sysfs.root, 'class/block/sda'));
    if (isReplaced) await sysfs.disk(2, 1, 'sda');
    news.tell({ ...blockAdd, action: 'remove' });
    await t.notThrowsAsync(gone);
  });
}

test('fake sysfs: nobody waits for a loop device to go, as those stay', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.loop(7, 12, 8);
  using leaving = devices.leaving('/dev/loop7');
  await t.notThrowsAsync(leaving.gone(limitOf(t)));
});
