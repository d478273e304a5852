import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pause } from '../../../common/deadline.ts';
import { isHeld } from '../../../native/exclusive.ts';
import { attachLoop, detachLoop } from '../../../native/loop-devices.ts';
import { mount, unmount } from '../../../native/mounts.ts';
import { ProcessMountTables } from '../../../plugin/adapters/holders.ts';
import { mustRun } from '../../../scripts/command.ts';

interface MountedDisk extends AsyncDisposable {
  readonly path: string;
  readonly target: string;
}

/** Disposed of when it is unmounted again. */
async function mountedDisk(): Promise<MountedDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'holders-'));
  const [image, target] = [join(folder, 'disk'), join(folder, 'mnt')];
  await mkdir(target);
  await mustRun(['truncate', '--size', '20M', image]);
  await mustRun(['mkfs.ext4', '-q', image]);
  const { path } = await attachLoop({ backingPath: image, isReadOnly: false });
  await mount({ source: path, target, fstype: 'ext4' });
  return {
    path,
    target,
    async [Symbol.asyncDispose]() {
      await detachLoop(path);
      await rm(folder, { recursive: true });
    },
  };
}

/** A process that has a copy of all mounts of now, until its end. */
async function inOtherNamespace(): Promise<{ readonly end: () => Promise<void> }> {
  const script = 'echo ready; read end';
  const other = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(other, 'exit');
  await once(other.stdout, 'data');
  return {
    async end() {
      other.stdin.end('\n');
      await ended;
    },
  };
}

test.serial(
  'holders: a mount in our own namespace does not count, one in another does, until it is gone',
  async (t) => {
    await using disk = await mountedDisk();
    const { path, target } = disk;
    const holders = new ProcessMountTables();
    t.false(await holders.isMountedElsewhere(path, target));
    const other = await inOtherNamespace();
    await unmount(target);
    t.true(await holders.isMountedElsewhere(path, target));
    await other.end();
    t.false(await holders.isMountedElsewhere(path, target));
  },
);

test.serial('holders: whoever started after a certain time can be left out', async (t) => {
  await using disk = await mountedDisk();
  const holders = new ProcessMountTables();
  const before = holders.now();
  while (holders.now() === before) await pause(1, AbortSignal.timeout(1000));
  const other = await inOtherNamespace();
  await unmount(disk.target);
  t.false(await holders.isMountedElsewhere(disk.path, disk.target, before));
  t.true(await holders.isMountedElsewhere(disk.path, disk.target, holders.now()));
  await other.end();
});

test('holders: a device that is gone is held by nobody', async (t) => {
  t.false(await new ProcessMountTables().isMountedElsewhere('/dev/sd-gone', '/mnt/none'));
  t.false(await isHeld('/dev/sd-gone'));
});
