/** The checkout that packages are made from, and the folders below it in which they are made. */
import { join } from 'node:path';
import process from 'node:process';
import { mustRun } from '../../scripts/command.ts';

export const projectFolder = join(import.meta.dirname, '../..');
/** What was downloaded or compiled, and is the same the next time. */
export const partsFolder = join(projectFolder, 'build/parts');

/** The date of everything in a package, in seconds: SOURCE_DATE_EPOCH, else that of the last commit. */
export async function sourceDate(): Promise<number> {
  const text =
    process.env['SOURCE_DATE_EPOCH'] ??
    (await mustRun(['git', '-C', projectFolder, 'log', '-1', '--format=%ct']).catch((cause: unknown) => {
      throw new Error('packages bear the date of the last commit; set SOURCE_DATE_EPOCH where there is no git', {
        cause,
      });
    }));
  const seconds = Number(text);
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds;
  throw new Error(`SOURCE_DATE_EPOCH must be a number of seconds, but is "${text.trim()}"`);
}
