/**
 * One question for many who ask at once. Invariant: the question that answers a call was put after that call; while one
 * is under way, all that come wait for the next.
 */
export class FreshAnswers<T> {
  readonly #ask: () => Promise<T>;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | undefined;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  get(): Promise<T> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const asked = this.#ask();
      this.#running = asked.catch(() => undefined);
      return asked;
    });
    return this.#next;
  }
}
