/**
 * Follows the sessions with the service: each new one is watched, the view read from it, and what this guest holds
 * brought into step with it. Invariant: `ready` resolves only when there is a view to answer from and the references
 * of an earlier process are taken up; from then on reads never lack a view again.
 */
import { deadline } from '../../common/deadline.ts';
import { failureFields } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import type { Reply } from '../../native/channel/contract.ts';
import type { References } from '../core/references.ts';
import type { Host } from '../ports/host.ts';
import type { ReferenceLog } from '../ports/reference-log.ts';
import { recover, type RecoveryParts, replay } from './recovery.ts';

export interface Session extends Host {
  readonly hello: Reply<'hello'>;
  /** Aborted when the session is over. */
  readonly closed: AbortSignal;
}

export interface SessionKeeperParts extends RecoveryParts {
  readonly referenceLog: ReferenceLog;
  /** For reading the whole view, in milliseconds. */
  readonly loadMs: number;
}

export class SessionKeeper {
  readonly #parts: SessionKeeperParts;
  readonly #ready = Promise.withResolvers<undefined>();
  /** What an earlier process recorded; given up once it has been taken up. */
  #recorded: ReadonlyMap<FullName, References>;
  #problems: readonly string[] = [];
  #last: Promise<void> = Promise.resolve();

  constructor(parts: SessionKeeperParts) {
    this.#parts = parts;
    this.#recorded = replay(parts.referenceLog.read());
  }

  get ready(): Promise<unknown> {
    return this.#ready.promise;
  }

  /** What the last recovery could not bring into step. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** To be called with each new session, before any other command goes out on it. */
  begin(session: Session): void {
    const previous = this.#last;
    this.#last = this.#follow(session, previous);
  }

  /** Resolves when the work on all sessions so far has ended. */
  settled(): Promise<void> {
    return this.#last;
  }

  async #follow(session: Session, previous: Promise<void>): Promise<void> {
    const { view, logger, loadMs } = this.#parts;
    try {
      using limit = deadline(loadMs, 'reading the list of volumes', session.closed);
      await view.load(session.hello, session, limit.signal);
      await previous;
      this.#problems = await recover(session.hello, this.#recorded, this.#parts);
      this.#forgetRecorded();
      this.#ready.resolve(undefined);
    } catch (error) {
      logger.warn('session given up', failureFields(error));
    }
  }

  /** References to volumes that are not held any more stand for nothing. */
  #forgetRecorded(): void {
    for (const volume of this.#recorded.keys()) {
      if (!this.#parts.held.get(volume)) this.#parts.referenceLog.append({ do: 'clear', volume });
    }
    this.#recorded = new Map();
  }
}
