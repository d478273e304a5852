/**
 * What takes long to make is made once and kept. Invariant: a thing appears in its folder whole or not at all, so
 * several processes may make it at once, and one that was killed leaves nothing that others would use.
 */
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { errnoOf } from '../common/fault.ts';

/**
 * The folder of that thing; made by `make` if it is not there, in place of what was made from other contents.
 * @param shop the folder that such things are kept in
 * @param contents what it is made from, as a hash
 * @param make fills the folder that it is given
 */
export async function madeOnce(
  shop: string,
  name: string,
  contents: string,
  make: (fresh: string) => Promise<void>,
): Promise<string> {
  const made = join(shop, `${name}-${contents}`);
  if (await isThere(made)) return made;
  await mkdir(shop, { recursive: true });
  const fresh = await mkdtemp(join(shop, '.new-'));
  try {
    await make(fresh);
    for (const former of await readdir(shop)) {
      // Who still uses it has it open.
      if (former.startsWith(`${name}-`) && former !== basename(made))
        await rm(join(shop, former), { recursive: true, force: true });
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
