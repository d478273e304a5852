/**
 * When something that is killed again and again could be asked, as far as those who kill it tell. Invariant: a request
 * whose whole time lies in one life, outside of any outage, must be answered; the number of the life grows only while
 * what was killed does not run, so what was asked in one life was never done in another.
 */
export class Lives {
  readonly #down = new Set<string>();
  #number = 0;

  get number(): number {
    return this.#number;
  }

  /** To be called before it is killed. */
  fall(who: string): void {
    this.#down.add(who);
  }

  /** No process of it is left. */
  end(): void {
    this.#number += 1;
  }

  /** It serves again. */
  rise(who: string): void {
    this.#down.delete(who);
  }

  /** @returns whether anything of it was gone for a moment between this call and that of the result */
  watch(): () => boolean {
    const [number, wasDown] = [this.#number, this.#down.size > 0];
    return () => wasDown || this.#down.size > 0 || this.#number !== number;
  }
}
