/**
 * Commands at work. Invariants: each one started is counted until its outcome was told; its outcome is told exactly
 * once: at once when the work returned or threw at once, else in the reaction to the promise that it returned, with no
 * step in between. What is not a Fault is told as an Internal one with a general sentence, and logged with its stack.
 */
import { abortable } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';

export type Outcome = { readonly ok: unknown } | { readonly fault: Fault };
/** Returns the reply or a promise of it. */
export type Work = (signal: AbortSignal) => unknown;

export class Executions {
  readonly #logger: Logger;
  readonly #running = new Set<AbortController>();
  #whenIdle: PromiseWithResolvers<undefined> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @returns cancels it: its signal is aborted with the reason, and its outcome is told all the same */
  start(work: Work, tell: (outcome: Outcome) => void): (reason: Fault) => void {
    const controller = new AbortController();
    this.#running.add(controller);
    const finish = (outcome: Outcome): void => {
      this.#running.delete(controller);
      tell(outcome);
      if (this.#running.size === 0) this.#whenIdle?.resolve(undefined);
    };
    this.#settle(work, controller.signal, finish);
    return (reason) => controller.abort(reason);
  }

  /** Resolves when nothing runs; rejects with the signal's reason when that is aborted first. */
  async idle(signal: AbortSignal): Promise<void> {
    if (this.#running.size === 0) return;
    this.#whenIdle ??= Promise.withResolvers<undefined>();
    await abortable(this.#whenIdle.promise, signal);
  }

  /** Cancels all that runs. */
  abort(reason: Fault): void {
    for (const controller of this.#running) controller.abort(reason);
  }

  #settle(work: Work, signal: AbortSignal, finish: (outcome: Outcome) => void): void {
    let result: unknown;
    try {
      result = work(signal);
    } catch (error) {
      finish(this.#failure(error));
      return;
    }
    if (!(result instanceof Promise)) {
      finish({ ok: result });
      return;
    }
    result.then(
      (ok: unknown) => finish({ ok }),
      (error: unknown) => finish(this.#failure(error)),
    );
  }

  #failure(error: unknown): Outcome {
    const fault = faultOf(error);
    if (fault.class !== 'bug') return { fault };
    this.#logger.error('a command failed unexpectedly', failureFields(error));
    if (fault === error) return { fault };
    return { fault: new Fault('Internal', 'the service failed unexpectedly; its log says why', { cause: error }) };
  }
}
