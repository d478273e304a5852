import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { pause } from '../../../common/deadline.ts';
import { isHeld } from '../../../native/exclusive.ts';
import { unmount } from '../../../native/mounts.ts';
import { ProcessMountTables } from '../../../plugin/adapters/holders.ts';
import { withOwnMounts } from '../../../scripts/own-mounts.ts';
import { mountedDisk } from './mounted-disk.ts';
import { isSoonFalse } from './soon-false.ts';

/** A process that has a copy of this mount, until its end. */
async function inOtherNamespace(target: string): Promise<{ readonly end: () => Promise<void> }> {
  const [program, ...args] = withOwnMounts(['sh', '-c', 'echo ready; read end'], target);
  const other = spawn(program, args, {
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
    t.true(await isSoonFalse(() => holders.isMountedElsewhere(path, target)));
    const other = await inOtherNamespace(target);
    await unmount(target);
    t.true(await holders.isMountedElsewhere(path, target));
    await other.end();
    t.true(await isSoonFalse(() => holders.isMountedElsewhere(path, target)));
  },
);

test.serial('holders: whoever started after a certain time can be left out', async (t) => {
  await using disk = await mountedDisk();
  const holders = new ProcessMountTables();
  const before = holders.now();
  while (holders.now() === before) await pause(1, AbortSignal.timeout(1000));
  const other = await inOtherNamespace(disk.target);
  await unmount(disk.target);
  t.true(await isSoonFalse(() => holders.isMountedElsewhere(disk.path, disk.target, before)));
  t.true(await holders.isMountedElsewhere(disk.path, disk.target, holders.now()));
  await other.end();
});

test('holders: a device that is gone is held by nobody', async (t) => {
  t.false(await new ProcessMountTables().isMountedElsewhere('/dev/sd-gone', '/mnt/none'));
  t.false(await isHeld('/dev/sd-gone'));
});
