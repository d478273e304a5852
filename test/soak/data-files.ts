/**
 * The data of a storm: each writer has one file on each volume, whose first line says what it is and what its bytes hash
 * to. Invariant: a file is flushed, and appears and is replaced whole, so a reader at any time finds some state that was written.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Violation } from './history.ts';
import type { FileRecord } from './model.ts';
import { Random } from './random.ts';

const prefix = 'data-';
const headerSchema = z.strictObject({
  volume: z.string(),
  writer: z.string(),
  sequence: z.number().int(),
  sha256: z.string(),
});

export function fileOf(writer: string): string {
  return `${prefix}${writer}`;
}

/** @throws the system's error when it cannot be written */
export async function writeData(folder: string, about: Omit<FileRecord, 'sha256'>, bytes: number): Promise<FileRecord> {
  const random = new Random(`${about.volume} ${about.writer} ${about.sequence}`);
  const payload = Buffer.from(random.hex(64).repeat(Math.ceil(bytes / 64)));
  const record = { ...about, sha256: createHash('sha256').update(payload).digest('hex') };
  const file = join(folder, fileOf(about.writer));
  const content = Buffer.concat([Buffer.from(`${JSON.stringify(record)}\n`), payload]);
  await writeFile(`${file}.new`, content, { flush: true });
  await rename(`${file}.new`, file);
  return record;
}

/** Every file that is there, each whole and with the hash that it says. */
export async function readData(folder: string, volume: string): Promise<ReadonlyMap<string, FileRecord>> {
  const names = (await readdir(folder)).filter((name) => name !== 'lost+found' && !name.endsWith('.new'));
  const found = new Map<string, FileRecord>();
  for (const name of names) {
    if (!name.startsWith(prefix))
      throw new Violation(volume, `volume ${volume} has the file ${name}, which nobody wrote`);
    found.set(name, checked(await readFile(join(folder, name)), name, volume));
  }
  return found;
}

function checked(content: Buffer, name: string, volume: string): FileRecord {
  const end = content.indexOf('\n');
  const header = headerSchema.safeParse(parsed(content.toString('utf8', 0, Math.max(0, end))));
  if (!header.success)
    throw new Violation(volume, `file ${name} of volume ${volume} is no file of ours: its header is lost`);
  const sha256 = createHash('sha256')
    .update(content.subarray(end + 1))
    .digest('hex');
  const { data } = header;
  if (sha256 !== data.sha256 || name !== fileOf(data.writer)) {
    throw new Violation(
      volume,
      `file ${name} of volume ${volume} has other bytes than were written: ${JSON.stringify(data)}`,
    );
  }
  return data;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
