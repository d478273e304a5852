/**
 * A superblock of an xfs, of which each allocation group starts with one, and the same with another UUID. Pure. The
 * metadata keep the UUID that they were written with, which the superblock goes on to name as theirs. Invariants:
 * undefined for what is not whole; of a whole one everything but the UUID stays.
 */
import { crc32cAround } from './crc32c.ts';

export interface XfsSuperblock {
  /** The sector that holds it. */
  readonly bytes: Buffer;
  readonly uuid: Buffer;
  /** What its metadata name as theirs, and every superblock of the same file system. */
  readonly metadataUuid: Buffer;
  readonly groupBytes: number;
  readonly groupCount: number;
  /** Undefined when the log is on a disk of its own. */
  readonly logOffset: number | undefined;
  readonly logBytes: number;
  readonly hasRealtimePart: boolean;
}

/** The largest sector that there is. */
export const largestSectorBytes = 32_768;
const smallestSectorBytes = 512;

const magic = 'XFSB';
/** The one with checksums; the kernel gives up all others. */
const version = 5;
const at = {
  blockBytes: 4,
  realtimeBlocks: 16,
  uuid: 32,
  logStart: 48,
  groupBlocks: 84,
  groupCount: 88,
  logBlocks: 96,
  version: 100,
  sectorBytes: 102,
  groupBlocksLog: 124,
  features: 216,
  checksum: 224,
  metadataUuid: 248,
} as const;
const uuidBytes = 16;
/** `XFS_SB_FEAT_INCOMPAT_META_UUID`: metadata name another UUID than the superblock. */
const hasMetadataUuid = 1 << 2;

/** @param start at least the sector, from its start */
export function readSuperblock(start: Buffer): XfsSuperblock | undefined {
  if (start.length < smallestSectorBytes || start.toString('latin1', 0, 4) !== magic) return undefined;
  if ((start.readUInt16BE(at.version) & 0xf) !== version) return undefined;
  const sectorBytes = start.readUInt16BE(at.sectorBytes);
  if (sectorBytes < smallestSectorBytes || sectorBytes > start.length) return undefined;
  const bytes = start.subarray(0, sectorBytes);
  if (crc32cAround(bytes, at.checksum) !== bytes.readUInt32LE(at.checksum)) return undefined;
  const uuidAt = (offset: number): Buffer => bytes.subarray(offset, offset + uuidBytes);
  const blockBytes = bytes.readUInt32BE(at.blockBytes);
  const groupBytes = bytes.readUInt32BE(at.groupBlocks) * blockBytes;
  const logStart = bytes.readBigUInt64BE(at.logStart);
  const groupBits = bytes.readUInt8(at.groupBlocksLog);
  const logGroup = Number(logStart >> BigInt(groupBits));
  return {
    bytes,
    uuid: uuidAt(at.uuid),
    metadataUuid: uuidAt((bytes.readUInt32BE(at.features) & hasMetadataUuid) === 0 ? at.uuid : at.metadataUuid),
    groupBytes,
    groupCount: bytes.readUInt32BE(at.groupCount),
    logOffset:
      logStart === 0n ? undefined : logGroup * groupBytes + Number(BigInt.asUintN(groupBits, logStart)) * blockBytes,
    logBytes: bytes.readUInt32BE(at.logBlocks) * blockBytes,
    hasRealtimePart: bytes.readBigUInt64BE(at.realtimeBlocks) !== 0n,
  };
}

/** The sector, whole again. */
export function withNewUuid({ bytes, metadataUuid }: XfsSuperblock, uuid: Buffer): Buffer {
  const next = Buffer.from(bytes);
  metadataUuid.copy(next, at.metadataUuid);
  uuid.copy(next, at.uuid);
  next.writeUInt32BE((bytes.readUInt32BE(at.features) | hasMetadataUuid) >>> 0, at.features);
  next.writeUInt32LE(crc32cAround(next, at.checksum), at.checksum);
  return next;
}
