/**
 * Writes what is generated among the documents.
 *
 *   docs.ts          docs/configuration.md
 *   docs.ts --man    the manual pages, into build/man/
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { version } from '../common/version.ts';
import { configurationDocument } from './docs/configuration.ts';
import { pages } from './docs/pages.ts';
import { roffOf } from './docs/roff.ts';

const root = dirname(import.meta.dirname);

if (process.argv.includes('--man')) {
  const folder = join(root, 'build/man');
  await mkdir(folder, { recursive: true });
  for (const page of pages) await writeFile(join(folder, `${page.name}.${page.section}`), roffOf(page, version));
} else {
  await writeFile(join(root, 'docs/configuration.md'), configurationDocument());
}
