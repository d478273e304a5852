/** An ext4 on a loop device, mounted in the namespace of the test. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attachLoop, detachLoop } from '../../../native/loop-devices.ts';
import { mount } from '../../../native/mounts.ts';
import { mustRun } from '../../../scripts/command.ts';

export interface MountedDisk extends AsyncDisposable {
  readonly path: string;
  readonly target: string;
}

/** Disposed of when it is unmounted again. */
export async function mountedDisk(): Promise<MountedDisk> {
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
