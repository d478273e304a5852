/**
 * A place that keeps volumes. Every change is on the disk when its call returns, and a failed or cancelled one leaves
 * nothing behind, or deletes it as soon as the place lets it. What fails says so in a sentence that names the datastore
 * and its path. Left to callers: one change of a volume at a time.
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

/** What is in a datastore, at first sight. */
export interface Listing {
  /** The names of its files. */
  readonly files: readonly string[];
  /** Whether it came back, or is another one than before: then the disks in it may have got new identities. */
  readonly isOther: boolean;
}

/** A volume as its files are now. */
export interface FoundVolume {
  /** Whether there is a volume, no descriptor but some other file of it, or nothing at all. */
  readonly presence: 'volume' | 'parts' | 'nothing';
  readonly record: VolumeRecord;
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
  /**
   * What is there now. A datastore that was gone and is back is taken into use again.
   * @throws Fault HostUnavailable when it is gone: until it is back, nothing of it can be read or changed. Any other
   * failure says nothing about that.
   */
  list(): Promise<Listing>;
  /** Those whose disk is surely not the one that was read, or too short, or cannot be looked at. */
  changedDisks(records: readonly VolumeRecord[]): Promise<readonly VolumeRecord[]>;
  /** @throws Fault when the datastore is gone */
  readVolume(name: VolumeName): Promise<FoundVolume>;
  /**
   * Deletes what is left of a removed volume of that name. Left to callers: there is no volume of that name.
   * @returns a sentence for each thing that it left alone
   */
  finishRemoval(name: VolumeName, held: ReadonlySet<string>): Promise<readonly string[]>;
  /** Lets others use it. */
  close(): Promise<void>;
}
