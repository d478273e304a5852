import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { isHeld } from '../../../native/exclusive.ts';
import { attachLoop, detachLoop } from '../../../native/loop-devices.ts';
import { mount, unmount } from '../../../native/mounts.ts';
import { ProcessMountTables } from '../../../plugin/adapters/holders.ts';
import { mustRun } from '../../docker/harness/command.ts';

test('holders: a mount in our own namespace does not count, one in another does, until it is gone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holders-'));
  const [image, target] = [join(folder, 'disk'), join(folder, 'mnt')];
  await mkdir(target);
  await mustRun(['truncate', '--size', '20M', image]);
  await mustRun(['mkfs.ext4', '-q', image]);
  const loop = await attachLoop({ backingPath: image, isReadOnly: false });
  const holders = new ProcessMountTables();
  t.false(await holders.isMountedElsewhere(loop.path, target));
  await mount({ source: loop.path, target, fstype: 'ext4' });
  t.false(await holders.isMountedElsewhere(loop.path, target));
  const script = 'echo ready; read end';
  const other = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(other, 'exit');
  await once(other.stdout, 'data');
  await unmount(target);
  t.true(await holders.isMountedElsewhere(loop.path, target));
  other.stdin.end('\n');
  await ended;
  t.false(await holders.isMountedElsewhere(loop.path, target));
  await detachLoop(loop.path);
  await rm(folder, { recursive: true });
});

test('holders: a device that is gone is held by nobody', async (t) => {
  t.false(await new ProcessMountTables().isMountedElsewhere('/dev/sd-gone', '/mnt/none'));
  t.false(await isHeld('/dev/sd-gone'));
});
