/**
 * The few fields of a file system's superblock that decide how a disk is made ready. Pure. Invariant: undefined for what
 * is not a superblock of the type asked for; nothing is guessed.
 */
import type { Fstype } from '../../common/volume-options.ts';

export interface SuperblockFacts {
  /** What the file system takes up of its disk. */
  readonly sizeBytes: number;
  /** Its checksums depend on its UUID, so a new one would mean to rewrite them all. */
  readonly hasUuidInChecksums: boolean;
  /** Its mkfs never came to its end. Told by xfs alone, which writes its signature before all else. */
  readonly isHalfMade: boolean;
}

/** All that `factsOf` looks at, from the disk's start. */
export const superblockBytes = 65_536 + 4_096;

const ext = { at: 1024, magic: 0xef53, is64Bit: 0x80, hasChecksums: 0x400, hasSeed: 0x2000 } as const;
const xfsMagic = 'XFSB';
const btrfs = { at: 65_536, magic: '_BHRfS_M' } as const;

export function factsOf(fstype: Fstype, disk: Buffer): SuperblockFacts | undefined {
  if (disk.length < superblockBytes) return undefined;
  switch (fstype) {
    case 'ext4':
    case 'ext3':
    case 'ext2':
      return factsOfExt(disk.subarray(ext.at));
    case 'xfs':
      return factsOfXfs(disk);
    case 'btrfs':
      return factsOfBtrfs(disk.subarray(btrfs.at));
  }
}

function factsOfExt(block: Buffer): SuperblockFacts | undefined {
  if (block.readUInt16LE(0x38) !== ext.magic) return undefined;
  const incompatible = block.readUInt32LE(0x60);
  const readOnlyCompatible = block.readUInt32LE(0x64);
  const high = (incompatible & ext.is64Bit) === 0 ? 0 : block.readUInt32LE(0x150);
  return {
    sizeBytes: (high * 2 ** 32 + block.readUInt32LE(0x04)) * 2 ** (10 + block.readUInt32LE(0x18)),
    hasUuidInChecksums: (readOnlyCompatible & ext.hasChecksums) !== 0 && (incompatible & ext.hasSeed) === 0,
    isHalfMade: false,
  };
}

function factsOfXfs(block: Buffer): SuperblockFacts | undefined {
  if (block.toString('latin1', 0, 4) !== xfsMagic) return undefined;
  return {
    sizeBytes: Number(block.readBigUInt64BE(8)) * block.readUInt32BE(4),
    hasUuidInChecksums: false,
    isHalfMade: block.readUInt8(126) !== 0,
  };
}

function factsOfBtrfs(block: Buffer): SuperblockFacts | undefined {
  if (block.toString('latin1', 0x40, 0x48) !== btrfs.magic) return undefined;
  return {
    sizeBytes: Number(block.readBigUInt64LE(0x70)),
    hasUuidInChecksums: false,
    isHalfMade: false,
  };
}
