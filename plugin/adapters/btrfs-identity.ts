/**
 * A new UUID for a btrfs, by its superblock alone. Pure. Its trees keep the UUID that they were written with, which the
 * superblock goes on to name as theirs. Invariants: everything else stays, a log that is still to be replayed too; the
 * result is one block, so that a crash leaves the old or the new one; no tool's own way keeps both.
 */
import { Fault } from '../../common/fault.ts';
import { crc32c } from './crc32c.ts';

export const btrfsBlockBytes = 4_096;
/** The first is the one that counts; the others exist where the disk is large enough. */
export const btrfsBlockOffsets: readonly number[] = [65_536, 64 * 1024 ** 2, 256 * 1024 ** 3];

const at = { checksum: 0, uuid: 0x20, devices: 0x88, features: 0xbc, checksumType: 0xc4, treeUuid: 0x23b } as const;
const uuidBytes = 16;
const checksumBytes = 32;
const crc32cType = 0;
/** `BTRFS_FEATURE_INCOMPAT_METADATA_UUID`: trees name another UUID than the superblock. */
const hasTreeUuid = 1n << 10n;

/** @throws Fault NotSupported for what our own mkfs never makes */
export function withNewUuid(block: Buffer, uuid: Buffer): Buffer {
  if (block.readUInt16LE(at.checksumType) !== crc32cType || block.readBigUInt64LE(at.devices) !== 1n) {
    throw new Fault(
      'NotSupported',
      'a clone of a btrfs with several disks, or with other checksums than crc32c, cannot be prepared',
    );
  }
  const next = Buffer.from(block);
  const features = block.readBigUInt64LE(at.features);
  if ((features & hasTreeUuid) === 0n) block.copy(next, at.treeUuid, at.uuid, at.uuid + uuidBytes);
  next.writeBigUInt64LE(features | hasTreeUuid, at.features);
  uuid.copy(next, at.uuid, 0, uuidBytes);
  next.fill(0, at.checksum, checksumBytes);
  next.writeUInt32LE(crc32c(next.subarray(checksumBytes, btrfsBlockBytes)), at.checksum);
  return next;
}
