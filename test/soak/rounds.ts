/**
 * The course of every storm: rounds in which all clients work at once, each followed by a quiet point. Invariant: while
 * a round runs the link is as bad as was asked for, and calm while the model is compared; the first failure of any
 * client ends all of them, and is told with all that explains it.
 */
import { abortable, deadline } from '../../common/deadline.ts';
import type { Surroundings } from './bed.ts';
import { explained } from './explain.ts';
import { type History, Violation } from './history.ts';
import type { QuietPoints } from './quiet-point.ts';
import type { Settings } from './settings.ts';

/** A request that hangs ends with its own limit, long before this. */
const roundMs = 6 * 60_000;
/** A hole that only the keep-alive notices comes this often: it costs most of a minute. */
const longHoleEveryMs = 4 * 60_000;

/** What goes on while others work. */
export interface During {
  readonly during: <T>(work: Promise<T>) => Promise<T>;
}

export type Task = () => Promise<void>;

export class Rounds {
  readonly #settings: Settings;
  readonly #around: Surroundings;
  readonly #quiet: QuietPoints;
  readonly #signal: AbortSignal;
  readonly #chaos: During | undefined;
  #nextLongHole = performance.now() + longHoleEveryMs;

  constructor(settings: Settings, around: Surroundings, quiet: QuietPoints, signal: AbortSignal, chaos?: During) {
    this.#settings = settings;
    this.#around = around;
    this.#quiet = quiet;
    this.#signal = signal;
    this.#chaos = chaos;
  }

  /**
   * Rounds until the time is over.
   * @returns how long they took, in milliseconds
   */
  async storm(next: () => readonly Task[], settle?: Task): Promise<number> {
    const began = performance.now();
    const until = began + this.#settings.minutes * 60_000;
    while (performance.now() < until) await this.round(next(), settle);
    return performance.now() - began;
  }

  /** @param settle what is still to be done when nothing is killed any more */
  async round(tasks: readonly Task[], settle?: Task): Promise<void> {
    const { link } = this.#around;
    using limit = deadline(roundMs, 'a round', this.#signal);
    if (this.#settings.link === 'hostile') {
      link.rage();
      if (performance.now() > this.#nextLongHole) {
        link.swallowForLong();
        this.#nextLongHole = performance.now() + longHoleEveryMs;
      }
    }
    const work = Promise.all(tasks.map((task) => task()));
    await abortable(this.#chaos ? this.#chaos.during(work) : work, limit.signal);
    link.calm();
    await settle?.();
    await this.#quiet.check(true);
  }
}

/** Runs the storm; its signal is aborted when anything in it failed, or when it is over. */
export async function watched<T>(
  { seed }: Settings,
  { around, history }: { readonly around: Surroundings; readonly history: History },
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort(signal.reason);
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    return await work(stopping.signal);
  } catch (error) {
    throw await explained(
      error instanceof Violation ? error : (stopping.signal.reason ?? error),
      seed,
      history,
      around,
    );
  } finally {
    stopping.abort(new Error('the storm is over'));
    signal.removeEventListener('abort', stop);
  }
}

export function allOf(them: readonly Disposable[]): Disposable {
  return {
    [Symbol.dispose]() {
      for (const one of them) one[Symbol.dispose]();
    },
  };
}

/** One after the other. */
export async function takeAll<Step>(
  actor: { take(step: Step): Promise<void> },
  steps: readonly Step[],
  signal: AbortSignal,
): Promise<void> {
  for (const step of steps) {
    signal.throwIfAborted();
    await actor.take(step);
  }
}
