/**
 * What is to befall each connection, drawn from a seed. Invariants: cuts walk through the byte offsets of frames one
 * after another, in each direction; what a connection suffers is decided when it is made, from the seed and its number
 * alone.
 */
import type { Random } from '../random.ts';

export type Ending =
  'cut up' | 'cut down' | 'half-close to service' | 'half-close to plugin' | 'black hole' | 'dark start';

export interface Fate {
  readonly random: Random;
  /** A chunk is delayed by up to this. */
  readonly slownessMs: number;
  readonly tearChance: number;
  readonly delayChance: number;
  readonly ending: Ending;
  /** Frames in both directions before its ending. */
  readonly endsAfter: number;
  /** Frames before a second connection repeats its commands; undefined for never. */
  readonly repeatedAfter: number | undefined;
  readonly stalledAfter: number | undefined;
  /** How long what was sent goes on to arrive after the sender saw the end. */
  readonly lateMs: number;
}

/** Frames from the guest are up to about this long, and from the host (pages of a list aside). */
const walked = { up: 420, down: 760 } as const;

export class Fates {
  readonly #random: Random;
  readonly #meanFrames: number;
  readonly #next: { up: number; down: number };
  readonly #covered = { up: new Set<number>(), down: new Set<number>() };
  #number = 0;

  /** @param meanFrames how many frames a connection lives on the average */
  constructor(random: Random, meanFrames: number) {
    this.#random = random;
    this.#meanFrames = meanFrames;
    const start = random.fork('offsets');
    this.#next = { up: start.whole(0, walked.up), down: start.whole(0, walked.down) };
  }

  next(): Fate {
    const random = this.#random.fork(`connection ${String((this.#number += 1))}`);
    return {
      random,
      slownessMs: random.pick([0, 0, 4, 20, 80]),
      tearChance: random.pick([0, 0.1, 0.4]),
      delayChance: random.pick([0, 0.2, 0.5]),
      ending: random.weighted({
        'cut up': 8,
        'cut down': 8,
        'half-close to service': 2,
        'half-close to plugin': 2,
        'black hole': 1,
        'dark start': 1,
      }),
      endsAfter: Math.ceil(-Math.log(1 - random.next()) * this.#meanFrames),
      repeatedAfter: random.chance(0.4) ? random.whole(3, this.#meanFrames) : undefined,
      stalledAfter: random.chance(0.15) ? random.whole(3, this.#meanFrames) : undefined,
      lateMs: random.pick([0, 0, 5, 50, 200]),
    };
  }

  /** The next place to cut at in this direction. */
  nextOffset(direction: 'up' | 'down'): number {
    const offset = this.#next[direction];
    this.#next[direction] = offset >= walked[direction] ? 0 : offset + 1;
    this.#covered[direction].add(offset);
    return offset;
  }

  /** How many different byte offsets were cut at. */
  get covered(): { readonly up: number; readonly down: number } {
    return { up: this.#covered.up.size, down: this.#covered.down.size };
  }
}
