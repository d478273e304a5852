/**
 * What became of each command, by VM and key. Invariant: while a key is remembered its work is started once; who asks
 * with it while the work runs joins it, and who asks later gets the first outcome. A key is remembered as long as its
 * work runs, and then for `maxAgeMs` unless its VM has `maxEntries` newer ones. Outcomes after which a caller may
 * repeat (busy, unreachable) are forgotten at once: the same key may then try afresh. All others stay: unsure ones, since
 * starting again what may have happened would answer "exists" to its own creator; and cancelled ones, since a copy that
 * comes late, over a connection that was slower, must not begin what its caller gave up and has undone meanwhile.
 */
import { Fault } from '../../common/fault.ts';
import type { Executions, Outcome, Work } from './executions.ts';

export interface OutcomeLimits {
  /** Of finished commands, for each VM. */
  readonly maxEntries: number;
  readonly maxAgeMs: number;
}

/** One who waits for an outcome. */
export interface Waiter {
  /** Called exactly once. */
  readonly tell: (outcome: Outcome) => void;
  /** Whether it still wants it: its connection lives, and it has not cancelled. */
  readonly isWaiting: () => boolean;
}

export interface KeyedCommand {
  readonly vmId: string;
  readonly key: string;
  /** Equal for equal commands; another one under the same key is a mistake of the caller's. */
  readonly fingerprint: string;
  readonly work: Work;
}

interface Running {
  readonly fingerprint: string;
  readonly waiters: Waiter[];
  cancel: (reason: Fault) => void;
}

interface Finished {
  readonly fingerprint: string;
  readonly outcome: Outcome;
  readonly finishedAt: number;
}

interface Keys {
  readonly running: Map<string, Running>;
  /** Oldest first. */
  readonly finished: Map<string, Finished>;
}

export class Outcomes {
  readonly #limits: OutcomeLimits;
  readonly #now: () => number;
  readonly #executions: Executions;
  readonly #vms = new Map<string, Keys>();

  constructor(limits: OutcomeLimits, executions: Executions, now: () => number) {
    this.#limits = limits;
    this.#executions = executions;
    this.#now = now;
  }

  /** Keys remembered, for all VMs. */
  get size(): number {
    return this.#vms.values().reduce((sum, { running, finished }) => sum + running.size + finished.size, 0);
  }

  /**
   * Starts the work, joins it, or tells its outcome at once.
   * @returns to be called when the waiter cancels: ends the work if nobody else waits for it
   */
  run(command: KeyedCommand, waiter: Waiter): (reason: Fault) => void {
    this.#prune();
    const keys = this.#keysOf(command.vmId);
    const finished = keys.finished.get(command.key);
    const running = keys.running.get(command.key);
    const known = finished ?? running;
    if (known && known.fingerprint !== command.fingerprint) {
      waiter.tell({ fault: new Fault('InvalidRequest', `key ${command.key} was used for another command`) });
      return () => undefined;
    }
    if (finished) {
      waiter.tell(finished.outcome);
      return () => undefined;
    }
    running?.waiters.push(waiter);
    const joined = running ?? this.#start(keys, command, waiter);
    return (reason) => {
      if (!joined.waiters.some((other) => other.isWaiting())) joined.cancel(reason);
    };
  }

  #start(keys: Keys, { key, fingerprint, work }: KeyedCommand, waiter: Waiter): Running {
    const running: Running = { fingerprint, waiters: [waiter], cancel: () => undefined };
    keys.running.set(key, running);
    running.cancel = this.#executions.start(work, (outcome) => {
      keys.running.delete(key);
      if (isLasting(outcome)) this.#remember(keys, key, { fingerprint, outcome, finishedAt: this.#now() });
      for (const { tell } of running.waiters) tell(outcome);
    });
    return running;
  }

  #remember(keys: Keys, key: string, entry: Finished): void {
    keys.finished.set(key, entry);
    for (const oldest of keys.finished.keys()) {
      if (keys.finished.size <= this.#limits.maxEntries) return;
      keys.finished.delete(oldest);
    }
  }

  #keysOf(vmId: string): Keys {
    let keys = this.#vms.get(vmId);
    if (!keys) this.#vms.set(vmId, (keys = { running: new Map(), finished: new Map() }));
    return keys;
  }

  #prune(): void {
    const tooOld = this.#now() - this.#limits.maxAgeMs;
    for (const [vmId, { running, finished }] of this.#vms) {
      for (const [key, { finishedAt }] of finished) {
        if (finishedAt > tooOld) break;
        finished.delete(key);
      }
      if (running.size === 0 && finished.size === 0) this.#vms.delete(vmId);
    }
  }
}

function isLasting(outcome: Outcome): boolean {
  return !('fault' in outcome) || !['busy', 'unreachable'].includes(outcome.fault.class);
}
