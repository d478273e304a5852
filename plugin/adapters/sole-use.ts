/**
 * Disks that we change below their file systems. Invariant: from a disk's opening to its close no file system on it is
 * mounted, in whatever mount namespace, and none comes to be.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { deadline, pause } from '../../common/deadline.ts';
import { errnoOf, Fault } from '../../common/fault.ts';

/** A process that was just made with a mount namespace of its own has our mounts in it until it lets them go. */
const patienceMs = 1_000;
const firstPauseMs = 2;
const longestPauseMs = 50;

/** @throws Fault VolumeInUse, or the signal's reason */
export async function openAlone(devicePath: string, signal: AbortSignal): Promise<FileHandle> {
  using limit = deadline(patienceMs, `opening ${devicePath} alone`, signal);
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    signal.throwIfAborted();
    try {
      return await open(devicePath, constants.O_RDWR | constants.O_EXCL);
    } catch (error) {
      if (errnoOf(error) !== 'EBUSY') throw error;
      if (limit.signal.aborted) throw inUse(devicePath, error);
    }
    await pause(pauseMs, limit.signal).catch(() => undefined);
  }
}

function inUse(devicePath: string, cause: unknown): Fault {
  return new Fault(
    'VolumeInUse',
    `${devicePath} is still mounted, maybe in the mount namespace of another process; end that process first`,
    { cause },
  );
}
