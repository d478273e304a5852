/** Files of this machine that go into the guests. */
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mustRun, runCommand } from '../../scripts/command.ts';

/** Files and folders of this machine by their places in the guest. */
export type Contents = ReadonlyMap<string, string>;

export async function pathOf(program: string): Promise<string> {
  return (await mustRun(['sh', '-c', 'PATH=$PATH:/usr/sbin:/sbin command -v "$1"', 'sh', program])).trim();
}

/** Of all those programs and libraries together, as they name them. */
export async function librariesOf(files: readonly string[]): Promise<readonly string[]> {
  // Of a static program, which has none, ldd says so and fails.
  const found = (await runCommand(['ldd', ...files])).stdout.matchAll(/(\/[^ :]+) \(0x/g);
  return [...new Set(Array.from(found, ([, path = '']) => path))];
}

/**
 * Another one when a file has changed.
 * @param makers sources of ours, which are read whole
 */
export async function fingerprint(makers: readonly string[], contents: Contents): Promise<string> {
  const hash = createHash('sha256');
  for (const file of makers) hash.update(await readFile(file));
  for (const [place, source] of contents) {
    const { size, mtimeMs } = await stat(source);
    hash.update(`${place} ${source} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

export async function copyInto(tree: string, contents: Contents): Promise<void> {
  for (const [place, source] of contents) {
    const target = join(tree, place);
    await mkdir(dirname(target), { recursive: true });
    await cp(await realpath(source), target, { recursive: true });
  }
}
