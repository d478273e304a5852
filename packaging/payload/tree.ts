/** Folders that are the same whoever makes them, wherever and whenever. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, lstat, lutimes, readdir, readlink } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** Everything in it, the folder itself included, gets this date, and the plain permissions that its kind has. */
export async function settleTree(folder: string, date: number): Promise<void> {
  for (const path of [...(await pathsBelow(folder)).map((name) => join(folder, name)).toReversed(), folder]) {
    const found = await lstat(path);
    if (!found.isSymbolicLink()) {
      const isProgram = found.isDirectory() || (found.mode & 0o100) !== 0;
      await chmod(path, isProgram ? 0o755 : 0o644);
    }
    await lutimes(path, date, date);
  }
}

/** Of all names, kinds, permissions, dates, owners and bytes: two trees with one hash are packed into equal archives. */
export async function hashOfTree(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of await pathsBelow(folder)) {
    const path = join(folder, name);
    const { mode, uid, gid, mtimeMs, size } = await lstat(path);
    hash.update(`${JSON.stringify([name, mode, uid, gid, mtimeMs])}\n`);
    if ((mode & 0o170000) === 0o120000) hash.update(`${await readlink(path)}\n`);
    else if ((mode & 0o170000) === 0o100000) {
      hash.update(`${size}\n`);
      for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
    }
  }
  return hash.digest('hex');
}

/** The bytes of all files in it. */
export async function sizeOfTree(folder: string): Promise<number> {
  const sizes = (await pathsBelow(folder)).map(async (name) => {
    const found = await lstat(join(folder, name));
    return found.isFile() ? found.size : 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Relative to it; a folder before what is in it. */
async function pathsBelow(folder: string): Promise<readonly string[]> {
  // Without the types it would go where links to folders lead.
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.map(({ parentPath, name }) => relative(folder, join(parentPath, name))).toSorted();
}
