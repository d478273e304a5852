/**
 * The folders on which volumes are mounted. Invariant: nothing but an empty folder is ever used or removed, and a
 * folder is removed by rmdir alone, so that neither a failed unmount nor a stray file costs data.
 */
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, Fault } from '../../common/fault.ts';
import type { MountPoints } from '../ports/mount-points.ts';

export class FolderMountPoints implements MountPoints {
  /** @throws Fault VolumeInUse when the folder holds something that a mount would hide */
  async make(path: string): Promise<void> {
    try {
      if ((await isNew(path)) || (await readdir(path)).length === 0) return;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST' && errnoOf(error) !== 'ENOTDIR') throw error;
      throw new Fault('VolumeInUse', `mount point ${path} is not a folder; move it away`, { cause: error });
    }
    throw new Fault('VolumeInUse', `mount point ${path} holds files that are not of the volume; move them away`);
  }

  async below(mountRoot: string): Promise<readonly string[]> {
    const paths: string[] = [];
    for (const folder of await foldersIn(mountRoot)) paths.push(...(await foldersIn(folder)));
    return paths;
  }

  /** @throws Fault VolumeInUse when something is mounted there or the folder is not empty */
  async remove(path: string): Promise<void> {
    try {
      await rmdir(path);
    } catch (error) {
      const code = errnoOf(error);
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY' && code !== 'ENOTEMPTY') throw error;
      const why = code === 'EBUSY' ? 'something is still mounted there' : 'it holds files that are not of the volume';
      throw new Fault('VolumeInUse', `mount point ${path} is not removed: ${why}`, { cause: error });
    }
  }
}

async function foldersIn(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Makes the folder, and those above it when they are missing; false when it was there. */
async function isNew(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    if (errnoOf(error) !== 'ENOENT') throw error;
    return (await mkdir(path, { recursive: true, mode: 0o755 })) !== undefined;
  }
}
