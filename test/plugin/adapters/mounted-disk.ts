/** An ext4 on a loop device, mounted in the namespace of the test. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attachLoop } from '../../../native/loop-devices.ts';
import { mount } from '../../../native/mounts.ts';
import { mustRun } from '../../../scripts/command.ts';
import { detachWhenFree } from '../../native/support/scratch.ts';

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
  const loop = await attachLoop({ backingPath: image, isReadOnly: false });
  const { path } = loop;
  await mount({ source: path, target, fstype: 'ext4' });
  return {
    path,
    target,
    async [Symbol.asyncDispose]() {
      await detachWhenFree(loop);
      await rm(folder, { recursive: true });
    },
  };
}
