/**
 * Disks that we change below their file systems. Invariant: from a disk's opening to its close no file system on it is
 * mounted, in whatever mount namespace, and none comes to be.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf, Fault } from '../../common/fault.ts';
import { patiently } from './patience.ts';

/** @throws Fault VolumeInUse, or the signal's reason */
export async function openAlone(devicePath: string, signal: AbortSignal): Promise<FileHandle> {
  try {
    return await patiently(() => open(devicePath, constants.O_RDWR | constants.O_EXCL), signal);
  } catch (error) {
    if (errnoOf(error) !== 'EBUSY') throw error;
    const sentence = `${devicePath} is still mounted, maybe in the mount namespace of another process; end that process first`;
    throw new Fault('VolumeInUse', sentence, { cause: error });
  }
}
