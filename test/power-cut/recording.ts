/**
 * The file operations of a program, as they happened. Invariants: they are all changes below the folder and no others,
 * in their true order, and files are told apart by numbers that are never used again, whatever the file system does.
 */
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { run } from '../esx-service/support/place.ts';

export type DataChange =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'size'; readonly sizeBytes: number }
  | { readonly kind: 'allocate'; readonly offset: number; readonly lengthBytes: number };

/** Paths are relative to the folder, which is file 0. */
export type FileOperation =
  | { readonly do: 'create' | 'mkdir'; readonly path: string; readonly file: number }
  | { readonly do: 'link' | 'rename'; readonly path: string; readonly to: string }
  | { readonly do: 'unlink'; readonly path: string }
  | { readonly do: 'change'; readonly file: number; readonly change: DataChange }
  | { readonly do: 'sync'; readonly file: number }
  | { readonly do: 'mark'; readonly text: string };

const kinds = [
  'none',
  'create',
  'mkdir',
  'link',
  'rename',
  'unlink',
  'write',
  'truncate',
  'allocate',
  'sync',
  'mark',
  'unknown',
] as const;
const headerWords = 8;

interface RawRecord {
  readonly kind: (typeof kinds)[number];
  /** Device and inode: the same for another file once this one is gone. */
  readonly id: string;
  readonly offset: number;
  readonly length: number;
  readonly path: string;
  readonly other: string;
  readonly data: Buffer;
}

export interface RecordingOptions {
  /** Lies outside of every recorded folder; what the recorder itself needs is put there. */
  readonly workFolder: string;
  readonly recordedFolder: string;
  readonly script: string;
  readonly args: readonly string[];
  /** Whether the file system appears to share blocks between files. */
  readonly sharesBlocks?: boolean;
}

export async function recordOperations(options: RecordingOptions): Promise<readonly FileOperation[]> {
  const library = join(options.workFolder, 'recorder.so');
  const log = join(options.workFolder, 'recorder.log');
  await run('cc', '-shared', '-fPIC', '-O2', '-o', library, join(import.meta.dirname, 'recorder.c'), '-ldl');
  await rm(log, { force: true });
  const settings = [`LD_PRELOAD=${library}`, `RECORDER_LOG=${log}`];
  if (options.sharesBlocks) settings.push('RECORDER_REFLINK=1');
  await run('env', ...settings, process.execPath, options.script, ...options.args);
  const { dev, ino } = await stat(options.recordedFolder);
  return understand(parseLog(await readFile(log)), options.recordedFolder, `${dev}:${ino}`);
}

function parseLog(log: Buffer): readonly RawRecord[] {
  const records: RawRecord[] = [];
  for (let place = 0; place < log.length;) {
    const words = Array.from({ length: headerWords }, (_, index) => Number(log.readBigUInt64LE(place + 8 * index)));
    const [kind = 0, device, inode, offset = 0, length = 0, pathBytes = 0, otherBytes = 0, dataBytes = 0] = words;
    place += 8 * headerWords;
    const take = (bytes: number): Buffer => log.subarray(place, (place += bytes));
    const path = take(pathBytes).toString();
    const other = take(otherBytes).toString();
    const name = kinds[kind] ?? 'unknown';
    records.push({ kind: name, id: `${device}:${inode}`, offset, length, path, other, data: take(dataBytes) });
  }
  return records;
}

function understand(records: readonly RawRecord[], folder: string, folderId: string): readonly FileOperation[] {
  const numbers = new Map([[folderId, 0]]);
  let next = 1;
  const inside = (path: string): string | undefined =>
    path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
  return records.flatMap((record): readonly FileOperation[] => {
    if (record.kind === 'mark') return [{ do: 'mark', text: record.path }];
    if (record.path === '') return ofFile(record, numbers.get(record.id));
    const path = inside(record.path);
    const isNew = record.kind === 'create' || record.kind === 'mkdir';
    // The number of a file that is gone may come back for one elsewhere.
    if (isNew) numbers.delete(record.id);
    const to = inside(record.other);
    if (path === undefined && to === undefined && record.path.startsWith('/')) return [];
    if (path === undefined) throw new Error(`cannot follow ${record.kind} of ${record.path} ${record.other}`);
    if (isNew) numbers.set(record.id, next++);
    return [ofName(record, path, to, next - 1)];
  });
}

function ofName(record: RawRecord, path: string, to: string | undefined, file: number): FileOperation {
  const { kind } = record;
  if (kind === 'create' || kind === 'mkdir') return { do: kind, path, file };
  if ((kind === 'link' || kind === 'rename') && to !== undefined) return { do: kind, path, to };
  if (kind === 'unlink') return { do: kind, path };
  throw new Error(`cannot follow ${kind} of ${record.path} ${record.other}`);
}

function ofFile(record: RawRecord, file: number | undefined): readonly FileOperation[] {
  if (file === undefined) return [];
  const { kind, offset, length } = record;
  switch (kind) {
    case 'write':
      return [{ do: 'change', file, change: { kind, offset, bytes: Buffer.from(record.data) } }];
    case 'truncate':
      return [{ do: 'change', file, change: { kind: 'size', sizeBytes: length } }];
    case 'allocate':
      return [{ do: 'change', file, change: { kind, offset, lengthBytes: length } }];
    case 'sync':
      return [{ do: kind, file }];
    default:
      throw new Error(`cannot follow ${kind} of file ${file}`);
  }
}
