/**
 * What our disks are called inside QEMU. Invariants: the name of a block node and of its device tells which file is
 * behind it, whatever became of that file's path, so who holds what is known after any restart; a file has one name, so
 * that QEMU itself refuses to attach it twice to one VM. Pure: no I/O.
 */
import type { DiskUuid } from '../../common/disk-uuid.ts';

/** Device and inode number in hexadecimal digits: with 16 of the latter it is still short enough for a node's name. */
const ourName = /^vmdk-([0-9a-f]+)-([0-9a-f]+)$/;

/** @param diskId as in `Extent.diskId` */
export function qemuName(diskId: string): string {
  return `vmdk-${diskId.split(':').map(hexadecimal).join('-')}`;
}

function hexadecimal(number: string): string {
  return BigInt(number).toString(16);
}

/** Undefined when the name is not ours. */
export function diskIdOfName(name: string): string | undefined {
  const match = ourName.exec(name);
  return match ? `${BigInt(`0x${match[1]}`)}:${BigInt(`0x${match[2]}`)}` : undefined;
}

/**
 * The disk's world-wide name: QEMU takes 64 bits, which is NAA type 5, so it is VMware's number of that type with the
 * part of the UUID that differs between disks.
 */
export function qemuWwn(uuid: DiskUuid): bigint {
  return BigInt(`0x5000c29${uuid.slice(-9)}`);
}

/** As Linux shows it. */
export function wwnText(uuid: DiskUuid): string {
  return `naa.${qemuWwn(uuid).toString(16)}`;
}
