/**
 * A new disk's bytes. Invariant: it reads as its source did, and as zeros from there to its very end; a thick one has
 * all its blocks to itself, so that it cannot run out of space later: kernel-side copies share blocks where the file
 * system can, and a shared block needs new space at its first change. Many bytes are durable when they are there, so
 * that the flush that follows is short.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { Fault } from '../../common/fault.ts';
import type { Diskformat } from '../../common/volume-options.ts';
import { bulkPiece } from '../../native/bulk-work.ts';
import { allocate, copyBytes, copyDataExtents, reflink, writeZeros } from '../../native/file-extents.ts';
import { codeOf } from '../../native/system-error.ts';
import type { Extent } from '../core/volume-record.ts';
import type { OnProgress } from '../ports/datastore.ts';

export interface ExtentRequest {
  readonly sizeBytes: number;
  readonly diskformat: Diskformat;
  readonly source: Extent | undefined;
  readonly onProgress: OnProgress;
}

/** @param file the new, empty file that lies at `path` */
export async function fillExtent(
  file: FileHandle,
  path: string,
  request: ExtentRequest,
  signal: AbortSignal,
): Promise<void> {
  const { sizeBytes, diskformat, source, onProgress } = request;
  if (diskformat === 'thin') {
    if (source) await copyThin(source, file, path, onProgress, signal);
    await file.truncate(sizeBytes);
    return;
  }
  await reserve(path, sizeBytes);
  const writesZeros = diskformat === 'eagerzeroedthick';
  if (source) await copyBytes(source.path, path, source.sizeBytes, { onProgress, writesZeros }, signal);
  else if (writesZeros) await writeZeros(path, sizeBytes, { onProgress }, signal);
  await bulkPiece(() => file.sync());
}

async function copyThin(
  source: Extent,
  file: FileHandle,
  path: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  await syncFile(source.path);
  if (!(await reflink(source.path, path))) {
    await copyDataExtents(source.path, path, { onProgress }, signal);
    await bulkPiece(() => file.sync());
  }
  // What lies behind the source's end in its file is no part of the disk, and must not come into view when it grows.
  await file.truncate(source.sizeBytes);
}

/** A copy looks for data where the file system says that it is; what is still on its way there might be missed. */
async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function reserve(path: string, sizeBytes: number): Promise<void> {
  try {
    await allocate(path, sizeBytes);
  } catch (error) {
    if (!['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS'].includes(codeOf(error) ?? '')) throw error;
    throw new Fault('NotSupported', 'this datastore cannot reserve space for a thick disk; choose diskformat thin', {
      cause: error,
    });
  }
}
