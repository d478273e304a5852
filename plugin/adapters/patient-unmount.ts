/**
 * Unmounting. Invariant: when it resolved, nothing is mounted at the target any more by the mount that was meant; while
 * anything uses the mount it stays whole, never detached lazily.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import { unmount } from '../../native/mounts.ts';
import { codeOf } from '../../native/system-error.ts';

/** A process that spawns another shares its open files with it for the moment until the other runs its own program. */
const patienceMs = 1_000;
const firstPauseMs = 2;
const longestPauseMs = 50;

/**
 * What is not mounted counts as unmounted.
 * @throws Fault VolumeInUse
 */
export async function unmountPatiently(target: string): Promise<void> {
  using limit = deadline(patienceMs, `unmounting ${target}`);
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      await unmount(target);
      return;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EINVAL' || code === 'ENOENT') return;
      if (code !== 'EBUSY') throw error;
      if (limit.signal.aborted) throw inUse(target, error);
    }
    await pause(pauseMs, limit.signal).catch(() => undefined);
  }
}

function inUse(target: string, cause: unknown): Fault {
  return new Fault(
    'VolumeInUse',
    `${target} is still in use by a process that works or has a file open there; end it first`,
    {
      cause,
    },
  );
}
