/**
 * What the kernel refuses as busy for a moment only. A process that has just been made shares the open files of the one
 * that made it until it runs its own program, and with a mount namespace of its own it has our mounts until it lets them
 * go. Invariant: what is busy is tried again, ever more slowly, for one second, and then its EBUSY is thrown; every
 * other failure is thrown at once.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { errnoOf } from '../../common/fault.ts';

const patienceMs = 1_000;
const firstPauseMs = 2;
const longestPauseMs = 50;

/** @throws what the work throws, or the signal's reason */
export async function patiently<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  using limit = deadline(patienceMs, 'what was busy', signal);
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (errnoOf(error) !== 'EBUSY' || limit.signal.aborted) throw error;
    }
    await pause(pauseMs, limit.signal).catch(() => undefined);
  }
}
