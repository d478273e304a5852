/**
 * When the catalog is compared with the world: every so often, and when somebody asks. Invariants: one check at a time;
 * who asks gets one that began after asking; what a check found is logged once, not again by the next.
 */
import { deadline } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import { failureFields } from '../../common/logging.ts';
import type { CheckReport } from '../core/check-report.ts';
import { FreshAnswers } from './fresh-answers.ts';
import type { InFlight } from './in-flight.ts';
import { reconcile } from './reconcile.ts';
import type { Service } from './service.ts';

interface Options {
  readonly service: Service;
  /** Owns the checks. */
  readonly inFlight: InFlight;
  readonly intervalMs: number;
}

/** For one check, whatever there is to mend. */
const limitMs = 600_000;

export class Checks implements Disposable {
  readonly #service: Service;
  readonly #inFlight: InFlight;
  readonly #timer: NodeJS.Timeout;
  readonly #ended = new AbortController();
  readonly #checks = new FreshAnswers(() => this.#check());
  #last: CheckReport | undefined;

  private constructor({ service, inFlight, intervalMs }: Options) {
    this.#service = service;
    this.#inFlight = inFlight;
    this.#timer = setInterval(() => {
      this.run().catch((error: unknown) => service.logger.warn('a check failed', failureFields(error)));
    }, intervalMs);
  }

  static start(options: Options): Checks {
    return new Checks(options);
  }

  /** The last one that came to its end. */
  get last(): CheckReport | undefined {
    return this.#last;
  }

  /** @throws Fault Cancelled at the end of the service, DeadlineExceeded */
  run(): Promise<CheckReport> {
    return this.#inFlight.run(this.#checks.get());
  }

  /** Begins no more, and ends the one at work early. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#ended.abort(new Fault('Cancelled', 'the service ends'));
  }

  async #check(): Promise<CheckReport> {
    using limit = deadline(limitMs, 'checking the volumes', this.#ended.signal);
    limit.signal.throwIfAborted();
    const report = await reconcile(this.#service, limit.signal);
    const { logger } = this.#service;
    const told = new Set(this.#last?.findings);
    for (const finding of report.findings) if (!told.has(finding)) logger.warn('found by a check', { finding });
    logger.debug('checked', { volumes: report.volumes, ms: report.tookMs, findings: report.findings.length });
    this.#last = report;
    return report;
  }
}
