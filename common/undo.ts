/**
 * Steps to take back. Invariant: after `keep` nothing is taken back; without it every step is tried, newest first, and
 * what could not be taken back is thrown together.
 */
export class Undo implements AsyncDisposable {
  readonly #steps: (() => Promise<void>)[] = [];

  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  keep(): void {
    this.#steps.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failed: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        failed.push(error);
      }
    }
    if (failed.length > 0) throw new AggregateError(failed, 'could not take back every step');
  }
}
