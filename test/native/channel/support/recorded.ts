/** A recorded conversation, in bytes made here: the product's own codec has no part in it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Said {
  readonly by: 'guest' | 'host';
  readonly message: Readonly<Record<string, unknown>>;
  readonly frame: Buffer;
}

export async function recorded(file: string): Promise<readonly Said[]> {
  const text = await readFile(join(import.meta.dirname, '../fixtures', file), 'utf8');
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => ({
    by: line.startsWith('>') ? 'guest' : 'host',
    message: JSON.parse(line.slice(2)) as Said['message'],
    frame: frameOf(line.slice(2)),
  }));
}

/** Magic word and length as little-endian numbers, the text, and a NUL that counts. */
export function frameOf(body: string): Buffer {
  const text = Buffer.from(`${body}\0`);
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x0bad_beef, 0);
  header.writeUInt32LE(text.length, 4);
  return Buffer.concat([header, text]);
}
