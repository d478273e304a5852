/**
 * Finds who has a device mounted by the mount tables of all processes. One process stands for its whole mount
 * namespace, so each namespace is read once. Invariant: a mount counts unless it is our own at the volume's path, or
 * surely the mere echo of that one, which the kernel keeps in other namespaces (those of system services, say) and takes
 * back with ours.
 */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { errnoOf } from '../../common/fault.ts';
import { type MountEntry, parseMountinfo } from '../../native/mountinfo.ts';
import { startTicks, ticksNow } from '../../native/process-times.ts';
import type { Holders, ProcessTime } from '../ports/holders.ts';
import { isEcho, placesOf } from './mount-propagation.ts';

export class ProcessMountTables implements Holders {
  /** The first process of a container with process IDs of its own sees nobody else's. */
  get seesOthers(): boolean {
    return process.pid !== 1;
  }

  now(): ProcessTime {
    return ticksNow();
  }

  async isMountedElsewhere(devicePath: string, path: string | undefined, before?: ProcessTime): Promise<boolean> {
    const number = await deviceNumber(devicePath);
    // A btrfs has a device number of its own making, so its source is what tells; and so it is for a disk that was taken
    // out, whose name the kernel gives to no other one as long as it is mounted.
    const isOfDevice = ({ deviceMajor, deviceMinor, source }: MountEntry): boolean =>
      `${deviceMajor}:${deviceMinor}` === number || source === devicePath;
    const table = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
    const ours = placesOf(table, (entry) => isOfDevice(entry) && entry.target === path);
    const others = placesOf(table, (entry) => isOfDevice(entry) && entry.target !== path);
    if (others.some((place) => !isEcho(place, ours))) return true;
    for await (const text of otherTables(before)) {
      if (!text.includes(` ${number} `) && !text.includes(` ${devicePath} `)) continue;
      if (placesOf(parseMountinfo(text), isOfDevice).some((place) => !isEcho(place, ours))) return true;
    }
    return false;
  }
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

/** The mount table of every namespace but our own, of which a process started by then. */
async function* otherTables(before = Infinity): AsyncGenerator<string> {
  const seen = new Set([await readlink('/proc/self/ns/mnt')]);
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const namespace = await ifSeen(readlink(`/proc/${pid}/ns/mnt`));
    if (namespace === undefined || seen.has(namespace)) continue;
    // One whose start cannot be told may have started before.
    if (before < Infinity && ((await ifSeen(startTicks(pid))) ?? 0) > before) continue;
    const text = await ifSeen(readFile(`/proc/${pid}/mountinfo`, 'utf8'));
    if (text === undefined || text === '') continue;
    seen.add(namespace);
    yield text;
  }
}

/**
 * A process may end while it is looked at; then it holds nothing. One that we may not look at is left out: that no
 * device is detached while anybody holds it is the kernel's own answer, given at the detach.
 */
async function ifSeen<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EINVAL', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) return undefined;
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
