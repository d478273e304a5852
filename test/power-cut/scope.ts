/** A test's end, as often as one likes within one test. Invariant: what was registered is done when it is disposed. */
import type { ExecutionContext } from 'ava';

export class Scope implements AsyncDisposable {
  readonly #ends: (() => unknown)[] = [];

  /** For helpers that ask a test for nothing but its end. */
  get asTest(): ExecutionContext {
    const teardown = (end: () => unknown): void => {
      this.#ends.push(end);
    };
    return { teardown } as unknown as ExecutionContext;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}
