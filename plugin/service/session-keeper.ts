/**
 * Follows the sessions with the service: each new one is watched, the view read from it, and what this guest holds
 * brought into step with it. Invariant: `ready` resolves only when there is a view to answer from and the references
 * of an earlier process are taken up; from then on reads never lack a view again.
 */
import { deadline } from '../../common/deadline.ts';
import { failureFields } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import type { ChannelEvent } from '../../native/channel/contract.ts';
import { noReferences, type References } from '../core/references.ts';
import type { ReferenceLog } from '../ports/reference-log.ts';
import { type Problems, recover, recoverOne, type RecoveryParts, replay, type Session } from './recovery.ts';

export interface SessionKeeperParts extends RecoveryParts {
  readonly referenceLog: ReferenceLog;
  /** For reading the whole view, in milliseconds. */
  readonly loadMs: number;
}

export class SessionKeeper {
  readonly #parts: SessionKeeperParts;
  readonly #ready = Promise.withResolvers<undefined>();
  /** What an earlier process recorded; given up once it has been taken up. */
  #recorded: ReadonlyMap<FullName, References> | undefined;
  #problems: Problems = new Map();
  /** The last one that the view was read from. */
  #session: Session | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(parts: SessionKeeperParts) {
    this.#parts = parts;
    this.#recorded = replay(parts.referenceLog.read());
  }

  get ready(): Promise<unknown> {
    return this.#ready.promise;
  }

  /** What could not be brought into step yet: a sentence for each volume. */
  get problems(): readonly string[] {
    return [...this.#problems.values()];
  }

  /** Volumes that are attached here, or could not be brought into step, and that are not held. */
  strays(): readonly FullName[] {
    const { held, view } = this.#parts;
    const vmId = this.#session?.hello.vm.id;
    const attached = vmId === undefined ? [] : view.attachedTo(vmId);
    return [...new Set([...attached, ...this.#problems.keys()])].filter((name) => !held.get(name));
  }

  /** Tries again to bring a volume into step; for what an earlier attempt, or a transition that failed, left. */
  async recover(name: FullName): Promise<void> {
    const session = this.#session;
    if (!session || session.closed.aborted) return;
    const problem = await recoverOne(name, session, noReferences, this.#parts);
    const others = [...this.#problems].filter(([other]) => other !== name);
    this.#problems = new Map(problem === undefined ? others : [...others, [name, problem]]);
  }

  /** An event of the service. One that does not follow the last means that some were missed: all is read again. */
  heard(event: ChannelEvent): void {
    if (this.#parts.view.apply(event)) return;
    const session = this.#session;
    if (!session) return;
    this.#parts.logger.warn('events of the service were missed; the list of volumes is read again', {
      sequence: event.sequence,
    });
    const previous = this.#last;
    this.#last = this.#readAgain(session, previous);
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
      this.#session = session;
      await previous;
      this.#problems = await recover(session, this.#recorded, this.#parts);
      // A session that ended meanwhile was not looked at whole; the next one is.
      session.closed.throwIfAborted();
      this.#forgetRecorded();
      this.#ready.resolve(undefined);
    } catch (error) {
      logger.warn('session given up', failureFields(error));
    }
  }

  async #readAgain(session: Session, previous: Promise<void>): Promise<void> {
    try {
      using limit = deadline(this.#parts.loadMs, 'reading the list of volumes', session.closed);
      await Promise.all([previous, this.#parts.view.load(session.hello, session, limit.signal)]);
    } catch (error) {
      this.#parts.logger.warn('the list of volumes could not be read again', failureFields(error));
    }
  }

  /** References to volumes that are not held any more stand for nothing. */
  #forgetRecorded(): void {
    for (const volume of this.#recorded?.keys() ?? []) {
      if (!this.#parts.held.get(volume)) this.#parts.referenceLog.append({ do: 'clear', volume });
    }
    this.#recorded = undefined;
  }
}
