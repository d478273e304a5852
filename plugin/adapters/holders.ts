/**
 * Finds who has a device mounted by the mount tables of all processes. One process stands for its whole mount
 * namespace, so each namespace but our own is read once.
 */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { errnoOf } from '../../common/fault.ts';
import type { Holders } from '../ports/holders.ts';

export class ProcessMountTables implements Holders {
  async isMountedElsewhere(devicePath: string): Promise<boolean> {
    const { rdev } = await stat(devicePath);
    const column = ` ${String(major(rdev))}:${String(minor(rdev))} `;
    const seen = new Set([await readlink('/proc/self/ns/mnt')]);
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const namespace = await ifAlive(readlink(`/proc/${pid}/ns/mnt`));
      if (namespace === undefined || seen.has(namespace)) continue;
      const table = await ifAlive(readFile(`/proc/${pid}/mountinfo`, 'utf8'));
      if (table === undefined || table === '') continue;
      if (table.includes(column)) return true;
      seen.add(namespace);
    }
    return false;
  }
}

/** A process may end while it is looked at; then it holds nothing. */
async function ifAlive<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ESRCH' || errno === 'EINVAL') return undefined;
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
