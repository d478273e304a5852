/**
 * Whether a block device is in use.
 *
 * Invariant: true as long as a mounted file system, in any mount namespace, a swap area or another device is on it. A
 * program that merely has it open does not count, and a device that the kernel has no more is in nobody's use; of one whose
 * node alone is missing nothing can be told. The answer is of this moment: somebody may take it in the next.
 * Left to callers: asking claims the device for an instant, so a mount of it, or another question, at the same time may
 * find it busy.
 */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { cString, libvmci } from './ffi.ts';
import { checked } from './system-error.ts';

const { ENOENT, ENXIO, ENODEV } = constants.errno;
const goneNumbers: readonly number[] = [ENOENT, ENXIO, ENODEV];
const probeCall = libvmci.function('vmci_exclusive_probe', 'pointer');

export async function isHeld(devicePath: string): Promise<boolean> {
  const result = await probeCall.later(cString(devicePath));
  if (result === -constants.errno.EBUSY) return true;
  if (goneNumbers.includes(-result) && !existsSync(`/sys/class/block/${basename(devicePath)}`)) return false;
  checked(result, 'open', devicePath);
  return false;
}
