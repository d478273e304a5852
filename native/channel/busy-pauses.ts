/**
 * Calls that the service answered Busy, until they are to be sent again. Invariant: each call that began a pause is told
 * over once, unless it was ended before; no timer outlives its call.
 */
import { type Backoff, backoffMs } from './backoff.ts';

export class BusyPauses<T extends object> {
  readonly #backoff: Backoff;
  readonly #onOver: (call: T) => void;
  readonly #timers = new Map<T, NodeJS.Timeout>();

  constructor(backoff: Backoff, onOver: (call: T) => void) {
    this.#backoff = backoff;
    this.#onOver = onOver;
  }

  /** @param failures Busy replies in a row before the one that this pause follows */
  begin(call: T, failures: number): void {
    this.end(call);
    const over = (): void => {
      this.#timers.delete(call);
      this.#onOver(call);
    };
    this.#timers.set(call, setTimeout(over, backoffMs(this.#backoff, failures)));
  }

  /** Does nothing when it is over. */
  end(call: T): void {
    clearTimeout(this.#timers.get(call));
    this.#timers.delete(call);
  }
}
