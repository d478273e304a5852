/** Work that has begun, so that what it uses can be taken away only when it is over. */
import { abortable } from '../../common/deadline.ts';

export class InFlight {
  readonly #work = new Set<Promise<unknown>>();

  get size(): number {
    return this.#work.size;
  }

  run<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work);
    const forget = (): void => {
      this.#work.delete(work);
    };
    work.then(forget, forget);
    return work;
  }

  /** Resolves when nothing is under way; rejects with the signal's reason when that is aborted first. */
  async idle(signal: AbortSignal): Promise<void> {
    while (this.#work.size > 0) await abortable(Promise.allSettled(this.#work), signal);
  }
}
