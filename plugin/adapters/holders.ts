/**
 * Finds who has a device mounted by the mount tables of all processes. One process stands for its whole mount
 * namespace, so each namespace is read once. Invariant: a mount counts unless it is our own at the volume's path, or
 * surely the mere echo of that one, which the kernel keeps in other namespaces (those of system services, say) and takes
 * back with ours.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { errnoOf } from '../../common/fault.ts';
import { parseMountinfo } from '../../native/mountinfo.ts';
import { startTicks, ticksNow } from '../../native/process-times.ts';
import type { Holders, ProcessTime } from '../ports/holders.ts';
import { mountsOfDevice } from './device-mounts.ts';
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
    const { isOne, maybeIn } = await mountsOfDevice(devicePath);
    const table = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
    const ours = placesOf(table, (entry) => isOne(entry) && entry.target === path);
    const others = placesOf(table, (entry) => isOne(entry) && entry.target !== path);
    if (others.some((place) => !isEcho(place, ours))) return true;
    for await (const text of otherTables(before)) {
      if (!maybeIn(text)) continue;
      if (placesOf(parseMountinfo(text), isOne).some((place) => !isEcho(place, ours))) return true;
    }
    return false;
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
