/**
 * Time limits as abort signals. A signal made here is aborted with a Fault, so that whoever waits on it can rethrow the
 * reason; disposing ends its timer, so no wait outlives its owner.
 */
import { Fault } from './fault.ts';

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/** When each signal made here is aborted at the latest, by the clock of `performance`. */
const ends = new WeakMap<AbortSignal, number>();

/**
 * @param ms after how many milliseconds the signal aborts
 * @param what the work that is limited, for the message: "attaching db@local"
 * @param parent a signal whose abort ends this one too
 */
export function deadline(ms: number, what: string, parent?: AbortSignal): Deadline {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new Fault('DeadlineExceeded', `${what} took longer than ${String(ms / 1000)} s`));
  }, ms);
  const follow = (): void => {
    controller.abort(parent?.reason);
  };
  if (parent?.aborted) follow();
  else parent?.addEventListener('abort', follow, { once: true });
  const parentEnd = parent ? ends.get(parent) : undefined;
  ends.set(controller.signal, Math.min(performance.now() + ms, parentEnd ?? Infinity));
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      parent?.removeEventListener('abort', follow);
    },
  };
}

/**
 * How long whoever uses the signal still has: not below 0, and no longer than any parent's limit that is known.
 * Undefined for a signal that `deadline` did not make.
 */
export function remainingMs(signal: AbortSignal): number | undefined {
  const end = ends.get(signal);
  return end === undefined ? undefined : Math.max(0, end - performance.now());
}

/** Waits; rejects with the signal's reason when it is aborted first. The timer ends with the wait. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, ms, undefined);
  try {
    await abortable(promise, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** The promise's outcome, or the signal's reason if that comes first. The work itself goes on; only the wait ends. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    reject(signal.reason as Error);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    aborted.catch(() => undefined);
    work.catch(() => undefined);
  }
}
