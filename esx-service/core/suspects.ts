/**
 * Which volumes may be other than they are remembered, told from little: the names in a folder, and what is attached.
 * Invariant: a volume that differs in these is among the suspects; one that does not differ may be, and is found in order
 * when it is read. What is seen here may be of a moment ago, so nothing is decided by it. Pure: no I/O.
 */
import { isDeepStrictEqual } from 'node:util';
import type { FullName, VolumeName } from '../../common/names.ts';
import { type Attachment, withHolder } from './holders.ts';
import { descriptorFile, metadataFile, roleOf, snapshotBase } from './volume-files.ts';
import { fullNameOf, type VolumeRecord } from './volume-record.ts';

/** @param known all volumes of the folder */
export function suspectsByName(known: readonly VolumeRecord[], files: readonly string[]): Set<VolumeName> {
  const unknown = new Set(files);
  const disks = new Set<string>();
  const suspects = new Set<VolumeName>();
  for (const { volume, problems, hasMetadata, extent } of known) {
    const name = volume.name as VolumeName;
    const [descriptor, metadata] = [descriptorFile(name), metadataFile(name)];
    const disk = extent?.path.slice(extent.path.lastIndexOf('/') + 1);
    // Two volumes may name one disk.
    const hasDisk = disk !== undefined && (unknown.delete(disk) || disks.has(disk));
    if (hasDisk) disks.add(disk);
    const isWhole = unknown.delete(descriptor) && hasDisk;
    const isAsBefore = unknown.delete(metadata) === hasMetadata;
    if (!isWhole || !isAsBefore || problems.files !== undefined) suspects.add(name);
  }
  for (const file of unknown) {
    const role = roleOf(file);
    if (role.role === 'descriptor' || role.role === 'tombstone') suspects.add(role.name);
    const based = snapshotBase(role);
    if (based !== undefined) suspects.add(based);
  }
  return suspects;
}

/** Volumes that the hypervisor does not hold for whom it is remembered. */
export function suspectsByHolder(
  known: readonly VolumeRecord[],
  attachments: readonly Attachment[],
): readonly VolumeRecord[] {
  const byDisk = Map.groupBy(attachments, ({ diskId }) => diskId);
  return known.filter((record) => {
    const found = record.extent && byDisk.get(record.extent.diskId);
    if (!found && !record.volume.attached && record.problems.holder === undefined) return false;
    return !isDeepStrictEqual(withHolder(record, found ?? []), record);
  });
}

/** Disks in these folders that one of our VMs holds, and that are of none of the volumes. */
export function strays(
  attachments: readonly Attachment[],
  folders: readonly string[],
  ...views: (readonly VolumeRecord[])[]
): readonly Attachment[] {
  // Elsewhere, another service may have VMs of the same names.
  const ours = attachments.filter(
    ({ holder, path }) => 'vm' in holder && folders.some((folder) => path?.startsWith(`${folder}/`)),
  );
  if (ours.length === 0) return [];
  const known = new Set(views.flatMap((records) => records.map(({ extent }) => extent?.diskId)));
  return ours.filter(({ diskId }) => !known.has(diskId));
}

/** Whether two volumes may have one disk, or are remembered so. */
export function mayBeShared(records: readonly VolumeRecord[]): boolean {
  const disks = records.flatMap(({ extent }) => extent?.diskId ?? []);
  return new Set(disks).size < disks.length || records.some(({ problems }) => problems.twin !== undefined);
}

/** Which volumes have which disk: several for one means that they share an extent. */
export class DiskIndex {
  readonly #records: readonly VolumeRecord[];
  readonly #byDisk = new Map<string, Set<FullName>>();
  #isMade = false;

  /** Costs nothing until somebody asks. */
  constructor(records: readonly VolumeRecord[]) {
    this.#records = records;
  }

  add(record: VolumeRecord): void {
    if (!record.extent) return;
    const names = this.#byDisk.get(record.extent.diskId) ?? new Set();
    this.#byDisk.set(record.extent.diskId, names.add(fullNameOf(record)));
  }

  /** Others that have, or had, the disk of this one. */
  others(record: VolumeRecord): readonly FullName[] {
    const own = fullNameOf(record);
    if (!this.#isMade) for (const one of this.#records) this.add(one);
    this.#isMade = true;
    return [...(this.#byDisk.get(record.extent?.diskId ?? '') ?? [])].filter((name) => name !== own);
  }
}
