/**
 * A new UUID for an xfs that was just unmounted cleanly. A mount wants the superblock and the log's last record to name
 * the same one, or the record to name none, as records of IRIX do. So the record names none while the superblock
 * changes, and every state between, whatever a crash cuts off, is one that mounts, with all data; a mount and an
 * unmount then make a new last record, and all can be repeated. xfs_admin has no such order: it clears the log under
 * the new UUID first. Invariants: every write lies in one sector; nothing is planned unless all that is to be written
 * is proven to be what it should. Left to callers: the mount and unmount before, and a sync after each stage.
 */
import type { FileHandle } from 'node:fs/promises';
import { Fault } from '../../common/fault.ts';
import { findUnmountRecord, type Log, logBlockBytes, recordStartWith, type UnmountRecord } from './xfs-log.ts';
import { largestSectorBytes, readSuperblock, withNewUuid, type XfsSuperblock } from './xfs-superblock.ts';

export interface DiskWrite {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** No stage may begin before the one ahead of it is on the disk; within a stage the order is free. */
export type Stages = readonly (readonly DiskWrite[])[];

const noUuid = Buffer.alloc(16);

/** @throws Fault DamagedVolume, or NotSupported for what our own mkfs never makes */
export async function planXfsRenewal(disk: FileHandle, uuid: Buffer): Promise<Stages> {
  const primary = readSuperblock(await readAt(disk, 0, largestSectorBytes));
  if (!primary) throw damaged('its superblock is not that of a sound xfs of version 5');
  if (primary.logOffset === undefined || primary.hasRealtimePart) {
    throw new Fault('NotSupported', 'a clone of an xfs that needs a second disk or partition cannot be prepared');
  }
  const others: DiskWrite[] = [];
  for (let group = 1; group < primary.groupCount; group += 1) {
    const offset = group * primary.groupBytes;
    others.push({ offset, bytes: withNewUuid(await readSecondary(disk, offset, primary), uuid) });
  }
  const { logOffset } = primary;
  const record = await readUnmountRecord(disk, logOffset, primary);
  const recordWith = (name: Buffer): DiskWrite => ({
    offset: logOffset + record.block * logBlockBytes,
    bytes: recordStartWith(record, name),
  });
  return [[recordWith(noUuid)], [{ offset: 0, bytes: withNewUuid(primary, uuid) }], [...others, recordWith(uuid)]];
}

/** Whichever UUID it bears: a crash may have left a new one in some of them. */
async function readSecondary(disk: FileHandle, offset: number, primary: XfsSuperblock): Promise<XfsSuperblock> {
  const found = readSuperblock(await readAt(disk, offset, primary.bytes.length));
  const isOfSame = found?.groupBytes === primary.groupBytes && found.metadataUuid.equals(primary.metadataUuid);
  if (isOfSame) return found;
  throw damaged(`the copy of its superblock at byte ${offset} is damaged`);
}

async function readUnmountRecord(disk: FileHandle, logOffset: number, primary: XfsSuperblock): Promise<UnmountRecord> {
  const log: Log = {
    blockCount: primary.logBytes / logBlockBytes,
    read: (block) => readAt(disk, logOffset + block * logBlockBytes, logBlockBytes),
  };
  const record = await findUnmountRecord(log, primary.uuid);
  if (record) return record;
  throw damaged('its log does not end as that of an unmounted one should');
}

async function readAt(disk: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await disk.read(bytes, 0, length, offset);
  return bytes;
}

function damaged(what: string): Fault {
  return new Fault(
    'DamagedVolume',
    `the clone's xfs cannot get a UUID of its own: ${what}; check the source with xfs_repair, and clone it again`,
  );
}
