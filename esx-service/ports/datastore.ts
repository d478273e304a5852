/**
 * A place that keeps volumes. Every change is on the disk when its call returns, and a failed or cancelled one leaves
 * nothing behind. Left to callers: one change of a volume at a time.
 */
import type { DatastoreName, VolumeName } from '../../common/names.ts';
import type { Metadata } from '../core/metadata.ts';
import type { Extent, VolumeRecord } from '../core/volume-record.ts';

/** How far a long piece of work is. */
export type OnProgress = (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;

export interface NewDisk {
  readonly name: VolumeName;
  readonly sizeBytes: number;
  readonly metadata: Metadata;
  /** The disk whose bytes it begins with; it must not change meanwhile. */
  readonly source: Extent | undefined;
  readonly onProgress: OnProgress;
}

export interface StoredDisk {
  readonly extent: Extent;
  readonly allocatedBytes: number;
}

/** What was found at start. */
export interface DatastoreContent {
  readonly records: readonly VolumeRecord[];
  /**
   * Deletes what a crash left half-made or half-removed, and nothing that could hold data; disks in `held` stay.
   * Returns a sentence for each thing that it left alone and somebody should look at.
   */
  sweep(held: ReadonlySet<string>): Promise<readonly string[]>;
}

export interface Datastore {
  readonly name: DatastoreName;
  /** For people: where it is. */
  readonly path: string;
  read(): Promise<DatastoreContent>;
  /**
   * @throws Fault VolumeExists when files of that name are there, NoSpace, or the signal's reason; once the volume is
   * there for good, the signal no longer counts
   */
  create(disk: NewDisk, signal: AbortSignal): Promise<StoredDisk>;
  saveMetadata(record: VolumeRecord): Promise<void>;
  remove(record: VolumeRecord): Promise<void>;
  /**
   * The disk as it is now.
   * @throws Fault DamagedVolume when it is no longer the one that was read
   */
  inspect(record: VolumeRecord): Promise<StoredDisk>;
  /** Lets others use it. */
  close(): Promise<void>;
}
