/**
 * All that the service knows of a volume. Invariant: a record is never changed, only replaced, and one without a problem
 * has an extent whose size is the volume's.
 */
import { type DatastoreName, type FullName, fullName, type VolumeName } from '../../common/names.ts';
import type { Volume } from '../../native/channel/contract.ts';
import type { Metadata } from './metadata.ts';

/** Where a volume's bytes are. */
export interface Extent {
  /** The same as long as the file is the same one, however it is called; equal for two names of one file. */
  readonly diskId: string;
  readonly path: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * Who says that a volume cannot be used: its files, another volume that has the same extent, or the hypervisor. Each
 * takes back what it said when its cause is gone, whatever the others say.
 */
export type ProblemSource = 'files' | 'twin' | 'holder';

export interface VolumeRecord {
  /** What is told to guests and to the administrator; its problem is the first of `problems`. */
  readonly volume: Volume;
  readonly problems: Readonly<Record<ProblemSource, string | undefined>>;
  readonly createKey: string | undefined;
  readonly isFormatted: boolean;
  readonly isFreshClone: boolean;
  readonly root: Metadata['root'];
  /** Means nothing while it is not attached. */
  readonly isAttachedReadOnly: boolean;
  /** False for a disk that was made elsewhere and has no side-car file yet. */
  readonly hasMetadata: boolean;
  /** Undefined only when the volume has a problem. */
  readonly extent: Extent | undefined;
}

export interface StoredParts {
  readonly name: VolumeName;
  readonly datastore: string;
  readonly metadata: Metadata;
  readonly hasMetadata: boolean;
  readonly extent: Extent | undefined;
  readonly allocatedBytes: number;
  /** What is wrong with its files. */
  readonly problem: string | undefined;
}

export function recordOf(parts: StoredParts): VolumeRecord {
  const { metadata, extent } = parts;
  const volume: Volume = {
    name: parts.name,
    datastore: parts.datastore,
    uuid: metadata.uuid,
    isNamedInFull: metadata.isNamedInFull,
    sizeBytes: extent?.sizeBytes ?? 0,
    allocatedBytes: parts.allocatedBytes,
    fstype: metadata.fstype,
    diskformat: metadata.diskformat,
    access: metadata.access,
    attachAs: metadata.attachAs,
    mountOptions: metadata.mountOptions,
    cloneFrom: metadata.cloneFrom,
    createdAt: metadata.createdAt,
    createdBy: metadata.createdBy,
    attached: undefined,
    problem: parts.problem,
  };
  return {
    volume,
    problems: { files: parts.problem, twin: undefined, holder: undefined },
    createKey: metadata.createKey,
    isFormatted: metadata.isFormatted,
    isFreshClone: metadata.isFreshClone,
    root: metadata.root,
    isAttachedReadOnly: false,
    hasMetadata: parts.hasMetadata,
    extent,
  };
}

/** What its side-car file says, or would say if it had one. */
export function metadataOf(record: VolumeRecord): Metadata {
  const { volume } = record;
  return {
    uuid: volume.uuid,
    createKey: record.createKey,
    isNamedInFull: volume.isNamedInFull,
    fstype: volume.fstype,
    diskformat: volume.diskformat,
    access: volume.access,
    attachAs: volume.attachAs,
    mountOptions: volume.mountOptions,
    cloneFrom: volume.cloneFrom,
    createdAt: volume.createdAt,
    createdBy: volume.createdBy,
    isFormatted: record.isFormatted,
    isFreshClone: record.isFreshClone,
    root: record.root,
  };
}

export function fullNameOf({ volume }: VolumeRecord): FullName {
  return fullName(volume.name as VolumeName, volume.datastore as DatastoreName);
}

/** The same volume with some of what is told of it replaced. */
export function withVolume(record: VolumeRecord, change: Partial<Volume>): VolumeRecord {
  return { ...record, volume: { ...record.volume, ...change } };
}

/** The same volume with what this source says of it now; undefined: it has nothing to say any more. */
export function withProblem(record: VolumeRecord, source: ProblemSource, problem: string | undefined): VolumeRecord {
  if (record.problems[source] === problem) return record;
  const problems = { ...record.problems, [source]: problem };
  return withVolume({ ...record, problems }, { problem: problems.files ?? problems.twin ?? problems.holder });
}
