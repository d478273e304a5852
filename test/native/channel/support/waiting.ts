/** Waits of tests: for failures, for turns of the event loop, for conditions; none of them sleeps. */
import { deadline } from '../../../../common/deadline.ts';
import { Fault } from '../../../../common/fault.ts';

/** The fault with which a call ended. */
export async function faultOfCall(call: Promise<unknown>): Promise<Fault> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error('the call succeeded');
}

/** Lets the event loop turn so often. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    setImmediate(resolve, undefined);
    await promise;
  }
}

/** Turns the event loop until it is so. */
export async function until(isSo: () => boolean): Promise<void> {
  using limit = deadline(10_000, 'waiting for a condition');
  while (!isSo()) {
    limit.signal.throwIfAborted();
    await turns(1);
  }
}
