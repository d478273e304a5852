/** Which entries of a mount table are mounts of a device. */
import { stat } from 'node:fs/promises';
import { errnoOf } from '../../common/fault.ts';
import type { MountEntry } from '../../native/mountinfo.ts';

export interface DeviceMounts {
  readonly isOne: (entry: MountEntry) => boolean;
  /** Before a table is parsed: false only for the text of one that surely shows none. */
  readonly maybeIn: (table: string) => boolean;
}

/**
 * A btrfs has a device number of its own making, so its source is what tells; and so it is for a disk that was taken
 * out, whose name the kernel gives to no other one as long as it is mounted.
 */
export async function mountsOfDevice(devicePath: string): Promise<DeviceMounts> {
  const number = await deviceNumber(devicePath);
  return {
    isOne: ({ deviceMajor, deviceMinor, source }) =>
      `${deviceMajor}:${deviceMinor}` === number || source === devicePath,
    maybeIn: (table) => table.includes(` ${number} `) || table.includes(` ${devicePath} `),
  };
}

/** As mount tables show it; of a device that is not there any more one that none of them shows. */
async function deviceNumber(devicePath: string): Promise<string> {
  try {
    const { rdev } = await stat(devicePath);
    return `${major(rdev)}:${minor(rdev)}`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'none';
    throw error;
  }
}

/** As makedev(3) packs them. */
function major(device: number): number {
  return Number((BigInt(device) >> 8n) & 0xfffn) + Number((BigInt(device) >> 32n) & ~0xfffn);
}

function minor(device: number): number {
  return Number((BigInt(device) & 0xffn) | ((BigInt(device) >> 12n) & ~0xffn & 0xffffffffn));
}
