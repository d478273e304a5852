/**
 * The changes of state of each volume. Invariants: one at a time for each volume, in order of arrival, and none waits
 * for another volume's; one that has begun goes to its end, also when its caller's time is over, and who asks again
 * waits behind it instead of beginning another; its lock is held exactly as long as it runs.
 */
import { abortable, deadline } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import type { KeyedLock } from '../../common/keyed-lock.ts';
import { failureFields, type LogFields, type Logger } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';

/** How long what nobody waits for may queue behind others. */
const lastTurnMs = 3_600_000;
/** How long a caller whose time is over waits for work that may be ending. */
const lastMomentMs = 250;

export class Transitions {
  readonly #locks: KeyedLock;
  readonly #logger: Logger;
  readonly #running = new Set<Promise<unknown>>();
  /** Volumes that have a last turn in their queue. */
  readonly #lastTurns = new Set<FullName>();

  constructor(locks: KeyedLock, logger: Logger) {
    this.#locks = locks;
    this.#logger = logger;
  }

  /** Whether one runs or waits on this volume. */
  isUnderWay(name: FullName): boolean {
    return this.#locks.isTaken('volume', name);
  }

  /** Whether others wait for their turn with this on the volume. */
  isWaitedFor(name: FullName, what: string): boolean {
    return this.#locks.waitersOf('volume', name).includes(what);
  }

  /**
   * Runs the work when its turn has come.
   * @param what for people: "mount"
   * @param caller ends the wait; the work itself sees it only as far as it looks at it
   * @throws Fault Busy when the caller's time limit ended the wait: for another transition, or for this one, which then
   * goes on; else the work's own fault, or the caller's reason
   */
  async run<T>(name: FullName, what: string, caller: AbortSignal, work: () => Promise<T>): Promise<T> {
    const begun = Promise.withResolvers<undefined>();
    const running = this.#track(
      this.#locks.hold([{ class: 'volume', name, mode: 'write' }], { signal: caller, what }, () => {
        begun.resolve(undefined);
        return work();
      }),
    );
    await Promise.race([begun.promise, running]);
    try {
      return await abortable(running, caller);
    } catch (error) {
      if (!caller.aborted || error !== caller.reason) throw error;
      if (faultOf(error).code === 'DeadlineExceeded') return await this.#lastMoment(name, what, running, error);
      this.#logLate(name, what, running);
      throw error;
    }
  }

  /** Work that heeds its caller's time ends now, and knows better what became of it. */
  async #lastMoment<T>(name: FullName, what: string, running: Promise<T>, reason: unknown): Promise<T> {
    using moment = deadline(lastMomentMs, `the end of the ${what}`);
    try {
      return await abortable(running, moment.signal);
    } catch (error) {
      if (error !== moment.signal.reason) throw error;
      this.#logLate(name, what, running);
      const sentence = `the ${what} took longer than its caller waits; it is finished, or taken back, in the background: ask again to wait for that`;
      throw new Fault('Busy', `volume ${name}: ${sentence}`, { cause: reason });
    }
  }

  /** Runs the work behind all that wait now, for nobody; once, however often it is asked for before its turn. */
  runLast(name: FullName, what: string, work: () => Promise<unknown>): void {
    if (this.#lastTurns.has(name)) return;
    this.#lastTurns.add(name);
    const turn = async (): Promise<void> => {
      using limit = deadline(lastTurnMs, `waiting to ${what} ${name}`);
      try {
        await this.#locks.hold([{ class: 'volume', name, mode: 'write' }], { signal: limit.signal, what }, () => {
          this.#lastTurns.delete(name);
          return work();
        });
      } catch (error) {
        this.#logger.warn(`${what} failed`, { volume: name, ...failureFields(error) });
      } finally {
        this.#lastTurns.delete(name);
      }
    };
    // The transition that asks for it does not wait for it.
    void this.#track(this.#locks.apart(turn));
  }

  /** Resolves when nothing runs or waits; rejects with the signal's reason when that is aborted first. */
  async idle(signal: AbortSignal): Promise<void> {
    while (this.#running.size > 0) await abortable(Promise.allSettled(this.#running), signal);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const forget = (): void => {
      this.#running.delete(work);
    };
    work.then(forget, forget);
    return work;
  }

  #logLate(name: FullName, what: string, running: Promise<unknown>): void {
    const log = (more: LogFields): void => {
      this.#logger.info('a transition ended whose caller had left', { volume: name, what, ...more });
    };
    running.then(
      () => log({}),
      (error: unknown) => log(failureFields(error)),
    );
  }
}
