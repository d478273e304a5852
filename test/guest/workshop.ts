/** What guests are built from is made once and kept below build/guest. */
import { join } from 'node:path';
import { madeOnce as madeOnceIn } from '../../scripts/made-once.ts';

export const projectFolder = join(import.meta.dirname, '../..');

/** As `madeOnce` of scripts/. */
export function madeOnce(name: string, contents: string, make: (fresh: string) => Promise<void>): Promise<string> {
  return madeOnceIn(join(projectFolder, 'build/guest'), name, contents, make);
}
