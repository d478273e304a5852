/** One line about a file that was made: its path, size and SHA-256. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { relative } from 'node:path';
import { projectFolder } from './payload/project.ts';

const mega = 1e6;

export async function told(path: string): Promise<string> {
  const { size } = await stat(path);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return `${relative(projectFolder, path)}  ${(size / mega).toFixed(1)} MB  sha256 ${hash.digest('hex')}`;
}
