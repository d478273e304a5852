/** What is assumed of a disk that another tool made and that has no side-car file. Pure: no I/O. */
import { createHash } from 'node:crypto';
import type { Descriptor } from './descriptor.ts';
import { type DiskUuid, newDiskUuid } from '../../common/disk-uuid.ts';
import type { Metadata } from './metadata.ts';

export interface ForeignDisk {
  readonly descriptor: Descriptor | undefined;
  readonly diskId: string | undefined;
  readonly allocatedBytes: number;
  readonly createdAt: Date;
}

export function foreignMetadata(disk: ForeignDisk): Metadata {
  const { descriptor } = disk;
  const isThin = descriptor === undefined || descriptor.isThin || disk.allocatedBytes < descriptor.sizeBytes;
  return {
    uuid: descriptor?.uuid ?? derivedUuid(disk.diskId ?? ''),
    // Right whatever the default datastore of the VM that asks.
    isNamedInFull: true,
    diskformat: isThin ? 'thin' : 'zeroedthick',
    access: 'read-write',
    attachAs: 'independent_persistent',
    mountOptions: [],
    createdAt: disk.createdAt.toISOString(),
    createdBy: 'unknown',
    // Nobody reported it formatted; the guest looks for a signature before it formats.
    isFormatted: false,
    isFreshClone: false,
    root: {},
  };
}

/** The same at each reading of the same file, for a disk whose maker gave it none. */
function derivedUuid(diskId: string): DiskUuid {
  return newDiskUuid(createHash('sha256').update(diskId).digest('hex').slice(0, 32));
}
