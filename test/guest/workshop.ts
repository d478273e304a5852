/**
 * What guests are built from is made once and kept below build/guest. Invariant: a thing appears there whole or not at
 * all, so several test processes may make it at once, and one that was killed leaves nothing that others would use.
 */
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { errnoOf } from '../../common/fault.ts';

export const projectFolder = join(import.meta.dirname, '../..');
const folder = join(projectFolder, 'build/guest');

/**
 * The folder of that thing; made by `make` if it is not there, in place of what was made from other contents.
 * @param contents what it is made from, as a hash
 * @param make fills the folder that it is given
 */
export async function madeOnce(
  name: string,
  contents: string,
  make: (fresh: string) => Promise<void>,
): Promise<string> {
  const made = join(folder, `${name}-${contents}`);
  if (await isThere(made)) return made;
  await mkdir(folder, { recursive: true });
  const fresh = await mkdtemp(join(folder, '.new-'));
  try {
    await make(fresh);
    for (const former of await readdir(folder)) {
      // Who still uses it has it open.
      if (former.startsWith(`${name}-`) && former !== basename(made))
        await rm(join(folder, former), { recursive: true, force: true });
    }
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
