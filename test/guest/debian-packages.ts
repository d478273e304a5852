/** Packages of this system's distribution, unpacked and not installed: nothing of the system's is changed. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun, runCommand } from '../../scripts/command.ts';

const downloadMs = 300_000;

/** The names come one after another in the order in which they are unpacked. */
export async function unpackPackages(folder: string, names: readonly string[]): Promise<void> {
  const downloads = await mkdtemp(join(folder, '.packages-'));
  try {
    await mustRun(['env', '--chdir', downloads, 'apt-get', '-q', 'download', ...names], { timeoutMs: downloadMs });
    for (const file of await readdir(downloads)) {
      await mustRun(['dpkg-deb', '--extract', join(downloads, file), folder]);
    }
  } finally {
    await rm(downloads, { recursive: true, force: true });
  }
}

/** What `find` finds in apt's answer; a machine whose package lists were never fetched gets them. */
export async function askApt<T>(
  question: readonly [string, ...string[]],
  find: (text: string) => T | undefined,
): Promise<T> {
  const known = find((await runCommand(question)).stdout);
  if (known !== undefined) return known;
  await mustRun(['apt-get', '-q', 'update'], { timeoutMs: downloadMs });
  const answer = find(await mustRun(question));
  if (answer === undefined) throw new Error(`this system's package lists have no answer to "${question.join(' ')}"`);
  return answer;
}
