/**
 * Large files, copied and filled piece by piece.
 *
 * Invariants: a copy has its source's bytes and, unless asked otherwise, its holes; between two pieces the work can be
 * stopped and tells how far it is; a piece is on its way to the disk before the next begins, so that no other file's
 * flush has to wait for much. It is not durable before the caller flushes it, and what a failed or cancelled call leaves
 * behind is the caller's to remove.
 */
import { constants } from 'node:os';
import { bulkPiece } from './bulk-work.ts';
import { cString, libvmci } from './ffi.ts';
import { checked } from './system-error.ts';

export interface Progress {
  /** How far into the file the work is; holes count as done. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface ProgressOptions {
  readonly onProgress?: (progress: Progress) => void;
}

/** A piece takes some milliseconds: long enough to be worth the hop to a thread, short enough to be cancelled. */
const pieceBytes = 16 * 1024 * 1024;
const progressBytes = 24;
const { EOPNOTSUPP, EXDEV, EINVAL, ENOTTY } = constants.errno;
const refusals: readonly number[] = [-EOPNOTSUPP, -EXDEV, -EINVAL, -ENOTTY];

const allocateCall = libvmci.function('vmci_allocate', 'pointer', 'uint64', 'uint64');
const reflinkCall = libvmci.function('vmci_reflink', 'pointer', 'pointer');
const copyCall = libvmci.function('vmci_copy_extents', 'pointer', 'pointer', 'uint64', 'uint64', 'pointer');
const copyAllCall = libvmci.function('vmci_copy_all', 'pointer', 'pointer', 'uint64', 'uint64', 'uint32');
const zerosCall = libvmci.function('vmci_write_zeros', 'pointer', 'uint64', 'uint64');

/** Reserves the blocks of the whole file, which grows to that size if it is smaller. */
export async function allocate(path: string, sizeBytes: number): Promise<void> {
  checked(await allocateCall.later(cString(path), 0, sizeBytes), 'fallocate', path);
}

/**
 * Makes `destination` share the blocks of `source`; both are independent from then on. False when the file systems cannot:
 * `destination` is then there, and empty.
 */
export async function reflink(source: string, destination: string): Promise<boolean> {
  const result = await reflinkCall.later(cString(source), cString(destination));
  if (refusals.includes(result)) return false;
  checked(result, 'ficlone', source, destination);
  return true;
}

/** Copies what is data in `source`; `destination` is created, or emptied first. */
export async function copyDataExtents(
  source: string,
  destination: string,
  options: ProgressOptions,
  signal: AbortSignal,
): Promise<void> {
  const from = cString(source);
  const to = cString(destination);
  const progress = Buffer.alloc(progressBytes);
  for (let isDone = false, offset = 0; !isDone;) {
    signal.throwIfAborted();
    const result = await bulkPiece(() => copyCall.later(from, to, offset, pieceBytes, progress));
    isDone = checked(result, 'copy', source, destination) === 1;
    offset = Number(progress.readBigUInt64LE(0));
    options.onProgress?.({ doneBytes: offset, totalBytes: Number(progress.readBigUInt64LE(16)) });
  }
}

/**
 * Copies the first `sizeBytes` of `source` into `destination`, which is there, so that they share nothing.
 * @param writesZeros whether zeros are written too; else `destination` must read as zeros where the source does
 * @throws when the source is shorter
 */
export async function copyBytes(
  source: string,
  destination: string,
  sizeBytes: number,
  options: ProgressOptions & { readonly writesZeros: boolean },
  signal: AbortSignal,
): Promise<void> {
  const from = cString(source);
  const to = cString(destination);
  for (let offset = 0; offset < sizeBytes;) {
    signal.throwIfAborted();
    const lengthBytes = Math.min(pieceBytes, sizeBytes - offset);
    const result = await bulkPiece(() => copyAllCall.later(from, to, offset, lengthBytes, options.writesZeros ? 1 : 0));
    checked(result, 'copy', source, destination);
    offset += lengthBytes;
    options.onProgress?.({ doneBytes: offset, totalBytes: sizeBytes });
  }
}

/** Writes real, allocated zeros over the first `sizeBytes` of the file, which grows if it is smaller. */
export async function writeZeros(
  path: string,
  sizeBytes: number,
  options: ProgressOptions,
  signal: AbortSignal,
): Promise<void> {
  const target = cString(path);
  for (let offset = 0; offset < sizeBytes;) {
    signal.throwIfAborted();
    const lengthBytes = Math.min(pieceBytes, sizeBytes - offset);
    checked(await bulkPiece(() => zerosCall.later(target, offset, lengthBytes)), 'write', path);
    offset += lengthBytes;
    options.onProgress?.({ doneBytes: offset, totalBytes: sizeBytes });
  }
}
