/**
 * Finds who has a device mounted by the mount tables of all processes. A mount's ID is unique on the whole machine, so
 * a mount of the device whose ID is not in our own table is in another namespace. (To compare the namespaces themselves
 * takes rights over the other process that a plugin need not have.) A table that must not be read is no proof either way
 * and is passed over: a container's processes can be read by the root that runs Docker.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { errnoOf } from '../../common/fault.ts';
import { parseMountinfo } from '../../native/mountinfo.ts';
import { readMountTable } from '../../native/mounts.ts';
import type { Holders } from '../ports/holders.ts';

/** The process ended while it was looked at, or it may not be looked at. */
const unreadable = ['ENOENT', 'ESRCH', 'EINVAL', 'EACCES', 'EPERM'];

export class ProcessMountTables implements Holders {
  async isMountedElsewhere(devicePath: string): Promise<boolean> {
    const { rdev } = await stat(devicePath);
    const device = `${major(rdev)}:${minor(rdev)}`;
    const ours = new Set((await readMountTable()).map(({ mountId }) => mountId));
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const table = await readTable(pid);
      // Most tables do not name the device at all, and need no parsing.
      if (!table.includes(` ${device} `)) continue;
      const mounts = parseMountinfo(table).filter((entry) => `${entry.deviceMajor}:${entry.deviceMinor}` === device);
      if (mounts.some(({ mountId }) => !ours.has(mountId))) return true;
    }
    return false;
  }
}

async function readTable(pid: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/mountinfo`, 'utf8');
  } catch (error) {
    if (unreadable.includes(errnoOf(error) ?? '')) return '';
    throw error;
  }
}

/** As makedev(3) packs them. */
function major(device: number): number {
  return Number(((BigInt(device) >> 8n) & 0xfffn) | ((BigInt(device) >> 32n) & ~0xfffn));
}

function minor(device: number): number {
  return Number((BigInt(device) & 0xffn) | ((BigInt(device) >> 12n) & ~0xffn));
}
