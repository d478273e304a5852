/**
 * Writes what is generated among the documents.
 *
 *   docs.ts          docs/configuration.md
 */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { configurationDocument } from './docs/configuration.ts';

await writeFile(join(dirname(import.meta.dirname), 'docs/configuration.md'), configurationDocument());
