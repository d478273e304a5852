/**
 * When processes started. Invariant: times are the kernel's own, in ticks of its clock since boot, which includes sleep;
 * so a process that was started before another has no later time, whatever happens to the clock of the day. Not
 * /proc/uptime: a container's may be made up.
 */
import { readFile } from 'node:fs/promises';
import { libvmci } from './ffi.ts';

/** Of USER_HZ, which is 100 wherever Node runs. */
const tickMs = 10;
/** Field 22 of proc(5)'s `stat`, counted from the one behind the name. */
const startField = 19;

const bootMs = libvmci.function('vmci_boot_ms');

/** What `startTicks` would tell of a process that was started now. */
export function ticksNow(): number {
  return Math.floor(bootMs.now() / tickMs);
}

/** @throws Error ENOENT or ESRCH when there is no such process */
export async function startTicks(pid: number | string): Promise<number> {
  return startTicksIn(await readFile(`/proc/${pid}/stat`, 'utf8'));
}

/** @param text the process's `stat` of proc(5) */
export function startTicksIn(text: string): number {
  // The name may hold anything, parentheses and spaces too.
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[startField]);
}
