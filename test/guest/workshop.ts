/**
 * What guests are built from is made once and kept below build/guest. Invariant: a thing appears there whole or not at
 * all, so several test processes may make it at once, and one that was killed leaves nothing that others would use.
 */
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../common/fault.ts';

export const projectFolder = join(import.meta.dirname, '../..');
const folder = join(projectFolder, 'build/guest');

/**
 * The folder of that name; made by `make` if it is not there.
 * @param make fills the folder that it is given
 */
export async function madeOnce(name: string, make: (fresh: string) => Promise<void>): Promise<string> {
  const made = join(folder, name);
  if (await isThere(made)) return made;
  await mkdir(folder, { recursive: true });
  const fresh = await mkdtemp(join(folder, '.new-'));
  try {
    await make(fresh);
    await rename(fresh, made).catch((error: unknown) => {
      // Somebody else was faster, with the same.
      if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return made;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
