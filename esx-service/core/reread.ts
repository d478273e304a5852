/**
 * What becomes of a record when its files are read again while the service runs. Invariants: a known volume is never
 * forgotten, and keeps all that its files cannot tell any more; its disk is only another file than before if it was seen
 * gone in between and nobody holds the former one, since whoever does still writes to that. Pure: no I/O.
 */
import { dirname } from 'node:path';
import type { VolumeName } from '../../common/names.ts';
import { metadataFile } from './volume-files.ts';
import { type VolumeRecord, withProblem } from './volume-record.ts';

export interface Reading {
  /** As its files say it; undefined when none of them is there. */
  readonly read: VolumeRecord | undefined;
  /** Where its files are, for people. */
  readonly folder: string;
  /** Whether somebody holds the disk that is remembered. */
  readonly isHeld: boolean;
  /** Whether the folder itself may be another one than before, so that its files may have got new identities. */
  readonly isOtherFolder: boolean;
}

/** The record that is to be remembered from now on, with its former holder. */
export function reread(before: VolumeRecord | undefined, reading: Reading): VolumeRecord | undefined {
  const { read, folder, isHeld } = reading;
  if (!before) return read;
  if (!read) {
    const problem = `all its files are gone from ${folder}; put them back, or remove the volume`;
    return degraded(before, isHeld, undefined, problem);
  }
  const { files } = read.problems;
  if (files !== undefined) return degraded(before, isHeld, read.extent, files);
  if (before.hasMetadata && !read.hasMetadata) {
    const file = `${dirname(read.extent?.path ?? folder)}/${metadataFile(before.volume.name as VolumeName)}`;
    const problem = `its metadata ${file} is missing; put it back, or restart the service to use the disk without it`;
    return degraded(before, isHeld, read.extent, problem);
  }
  if (isReplaced(before, reading)) {
    const problem = `its extent ${read.extent?.path} was replaced by another file; put the former one back, or restart the service to use the new one`;
    return withProblem(before, 'files', problem);
  }
  const { problems, isAttachedReadOnly } = before;
  const { attached } = before.volume;
  const now = { ...read, isAttachedReadOnly, volume: { ...read.volume, attached } };
  return withProblem(withProblem(now, 'twin', problems.twin), 'holder', problems.holder);
}

/** The record of a volume whose files cannot be read at all at the moment. */
export function degraded(
  before: VolumeRecord,
  isHeld: boolean,
  extent: VolumeRecord['extent'],
  problem: string,
): VolumeRecord {
  // By the former one the hypervisor's word of who holds it is understood, and it can be detached.
  const kept = isHeld || extent?.diskId === before.extent?.diskId ? before.extent : undefined;
  return withProblem({ ...before, extent: kept }, 'files', problem);
}

function isReplaced({ extent }: VolumeRecord, { read, isHeld, isOtherFolder }: Reading): boolean {
  return extent !== undefined && extent.diskId !== read?.extent?.diskId && (isHeld || !isOtherFolder);
}
