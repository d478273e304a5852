/**
 * A quick look at many disks' files: whether each still is the one that was read, and long enough. Invariant: it changes
 * nothing and holds up nobody; what cannot be looked at counts as changed, and whoever reads it then learns why.
 */
import { lstat, type Stats } from 'node:fs';
import type { Extent, VolumeRecord } from '../core/volume-record.ts';
import { diskIdOf } from './volume-reader.ts';

/** A disk that hangs takes no more worker threads than these; more would not be faster. */
const atOnce = 4;

export async function changedDisks(records: readonly VolumeRecord[]): Promise<readonly VolumeRecord[]> {
  const changed: VolumeRecord[] = [];
  const queue = records.values().flatMap((record) => (record.extent ? [{ record, extent: record.extent }] : []));
  // Callbacks: for ten thousand files half the time of promises.
  const look = (done: () => void): void => {
    const { value: next } = queue.next();
    if (!next) {
      done();
      return;
    }
    const { record, extent } = next;
    lstat(extent.path, (error, status) => {
      if (error || !isAsRead(extent, status)) changed.push(record);
      look(done);
    });
  };
  await Promise.all(Array.from({ length: atOnce }, () => new Promise<void>((resolve) => look(resolve))));
  return changed;
}

function isAsRead({ diskId, offsetBytes, sizeBytes }: Extent, status: Stats): boolean {
  // A longer file holds the whole disk all the same.
  return status.isFile() && diskIdOf(status) === diskId && status.size >= offsetBytes + sizeBytes;
}
