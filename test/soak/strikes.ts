/**
 * The schedule of the kills. Invariant: the same seed makes the same strikes in the same order, each with the same
 * times; when they fall within the work of others is up to the machine. Pure.
 */
import type { Random } from './random.ts';

export interface Blow<V extends string> {
  readonly victim: V;
  /** So long before its last words arrive; 0 for at once. */
  readonly holdMs: number;
  /** So long it lies before it is started again. */
  readonly downMs: number;
  /** It is killed again so long after each start, before it is left alone. */
  readonly again: readonly { readonly afterMs: number; readonly downMs: number }[];
}

export interface Strike<V extends string> {
  /** The quiet before it. */
  readonly afterMs: number;
  /** At once. */
  readonly blows: readonly Blow<V>[];
}

/** When who is killed. */
export interface Schedule<V extends string> {
  next(): Strike<V>;
}

const againChance = 0.3;
const longChance = 0.04;
const atOnceChance = 0.3;
const holdChance = 0.35;
const longestHoldMs = 4000;
const shortDownMs = 3000;
const longDownMs = 20_000;

export class Strikes<V extends string> implements Schedule<V> {
  readonly #random: Random;
  readonly #targets: Readonly<Record<string, readonly [V, ...V[]]>>;
  readonly #weights: Readonly<Record<string, number>>;

  /**
   * @param targets who is killed at once, by a name of one's own
   * @param weights how often each of these is chosen
   */
  constructor(
    random: Random,
    targets: Readonly<Record<string, readonly [V, ...V[]]>>,
    weights: Readonly<Record<string, number>>,
  ) {
    this.#random = random;
    this.#targets = targets;
    this.#weights = weights;
  }

  next(): Strike<V> {
    const afterMs = this.#random.whole(50, 2500);
    const target = this.#random.weighted(this.#weights);
    return { afterMs, blows: (this.#targets[target] ?? []).map((victim) => this.#blow(victim)) };
  }

  #blow(victim: V): Blow<V> {
    const times = this.#random.chance(againChance) ? this.#random.whole(1, 2) : 0;
    const again = Array.from({ length: times }, () => ({
      afterMs: this.#random.whole(0, 700),
      downMs: this.#downMs(),
    }));
    const holdMs = this.#random.chance(holdChance) ? this.#random.whole(300, longestHoldMs) : 0;
    return { victim, downMs: this.#downMs(), again, holdMs };
  }

  #downMs(): number {
    if (this.#random.chance(atOnceChance)) return 0;
    const isLong = this.#random.chance(longChance);
    return this.#random.whole(0, isLong ? longDownMs : shortDownMs);
  }
}
