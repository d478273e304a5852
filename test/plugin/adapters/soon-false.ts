/** What other tests that run meanwhile may make true for a moment. */
import { deadline, pause } from '../../../common/deadline.ts';

const limitMs = 10_000;

/** A namespace that another test makes has a copy of all mounts at first (scripts/own-mounts.sh). */
export async function isSoonFalse(ask: () => Promise<boolean>): Promise<boolean> {
  using limit = deadline(limitMs, 'namespaces of other tests');
  while (await ask()) {
    if (limit.signal.aborted) return false;
    await pause(20, limit.signal).catch(() => undefined);
  }
  return true;
}
