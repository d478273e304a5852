/**
 * Kills the programs of a storm, and starts them again as their service manager would, while others work. Invariants:
 * it does nothing but SIGKILL and start; when `during` returns, all of them serve again, by themselves; one that does
 * not within the limit, or that ended without being killed, is a violation.
 */
import { pause } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import { type History, killsOf, Violation } from './history.ts';
import type { Surroundings } from './bed.ts';
import type { Scene } from './scene.ts';
import type { Lives } from './lives.ts';
import type { Blow, Schedule } from './strikes.ts';

/** From the moment in which all that it needs is there. */
const backMs = 60_000;
const lastWordsMs = 150;

export interface Victim {
  readonly mustRun: () => Promise<void>;
  /** What it sends from now on arrives only after so long; resolves when something may have been sent. */
  readonly holdBack?: (ms: number) => Promise<void>;
  /** Resolves when no process of it is left. */
  readonly kill9: () => Promise<void>;
  /** Resolves when the process runs. */
  readonly launch: () => Promise<void>;
  /** @throws Error when it does not serve within this time */
  readonly serves: (timeoutMs: number) => Promise<void>;
}

export interface ChaosParts<V extends string> {
  readonly victims: Readonly<Record<V, Victim>>;
  readonly strikes: Schedule<V>;
  readonly history: History;
  readonly signal: AbortSignal;
  /** What must be true after each strike. */
  readonly look?: () => Promise<void>;
}

export class Chaos<V extends string> {
  readonly #parts: ChaosParts<V>;
  /** When the last process of any of them was started. */
  #lastLaunch = 0;

  constructor(parts: ChaosParts<V>) {
    this.#parts = parts;
  }

  /** Strikes until the work is over. */
  async during<T>(work: Promise<T>): Promise<T> {
    const over = new AbortController();
    const stop = (): void => over.abort(new Error('the work is over'));
    const striking = this.#strike(over.signal);
    // Whoever waits for what will never come back is told at once.
    void striking.catch(stop);
    try {
      return await Promise.race([work, striking.then(() => work)]);
    } finally {
      stop();
      await striking;
    }
  }

  async #strike(over: AbortSignal): Promise<void> {
    const { strikes } = this.#parts;
    for (;;) {
      const { afterMs, blows } = strikes.next();
      await this.#rest(afterMs, over);
      if (over.aborted) return;
      await Promise.all(blows.map((blow) => this.#deal(blow, over)));
      await this.#parts.look?.();
    }
  }

  async #deal({ victim: name, downMs, again, holdMs }: Blow<V>, over: AbortSignal): Promise<void> {
    const { history, victims } = this.#parts;
    const victim = victims[name];
    await this.#must(name, 'ended without being killed', () => victim.mustRun());
    if (holdMs > 0) await victim.holdBack?.(holdMs);
    await this.#kill(name, victim);
    await this.#rest(downMs, over);
    await victim.launch();
    for (const { afterMs, downMs: moreMs } of again) {
      await this.#rest(afterMs, over);
      if (over.aborted) break;
      await this.#kill(name, victim);
      history.count(`${killsOf}${name} in its recovery`);
      await this.#rest(moreMs, over);
      await victim.launch();
    }
    this.#lastLaunch = performance.now();
    await this.#must(name, 'did not come back', () => victim.serves(backMs + downMs));
    history.took(`${name} back`, performance.now() - this.#lastLaunch);
  }

  async #kill(name: V, victim: Victim): Promise<void> {
    this.#parts.history.count(`${killsOf}${name}`);
    await victim.kill9();
  }

  /** Ends early when the work is over. */
  async #rest(ms: number, over: AbortSignal): Promise<void> {
    this.#parts.signal.throwIfAborted();
    await pause(ms, over).catch(() => undefined);
  }

  async #must(name: V, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw new Violation(undefined, `${name} ${what}: ${messageOf(error)}`);
    }
  }
}

/** The plugin, whose last words may reach the service long after its death, when the next one has begun. */
export function pluginOf({ plugin, link }: Pick<Surroundings, 'plugin' | 'link'>, { lives, signal }: Scene): Victim {
  return noted(
    {
      mustRun: () => plugin.mustRun(),
      async holdBack(ms) {
        link.holdBack(ms);
        await pause(lastWordsMs, signal);
      },
      kill9: () => plugin.kill9(),
      launch: () => plugin.launch(),
      serves: (timeoutMs) => plugin.serves(timeoutMs),
    },
    'plugin',
    lives,
    () => link.nextPeer(),
  );
}

/** The same, with its lives counted. */
export function noted(victim: Victim, who: string, lives: Lives, onEnd: () => void = () => undefined): Victim {
  return {
    mustRun: () => victim.mustRun(),
    ...(victim.holdBack && { holdBack: victim.holdBack }),
    async kill9() {
      lives.fall(who);
      await victim.kill9();
      lives.end();
      onEnd();
    },
    launch: () => victim.launch(),
    async serves(timeoutMs) {
      await victim.serves(timeoutMs);
      lives.rise(who);
    },
  };
}
