/**
 * Unmounting. Invariant: when it resolved, nothing is mounted at the target any more by the mount that was meant; while
 * anything uses the mount it stays whole, never detached lazily.
 */
import { Fault } from '../../common/fault.ts';
import { unmount } from '../../native/mounts.ts';
import { codeOf } from '../../native/system-error.ts';
import { patiently } from './patience.ts';

/**
 * What is not mounted counts as unmounted.
 * @throws Fault VolumeInUse
 */
export async function unmountPatiently(target: string): Promise<void> {
  try {
    await patiently(() => unmount(target));
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EINVAL' || code === 'ENOENT') return;
    if (code !== 'EBUSY') throw error;
    const sentence = `${target} is still in use by a process that works or has a file open there; end it first`;
    throw new Fault('VolumeInUse', sentence, { cause: error });
  }
}
