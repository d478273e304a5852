/**
 * Fair read/write locks by name. Invariants: a writer is alone on its key; waiters are served in order of arrival, so
 * neither readers nor writers starve; a call takes all its keys in one order (class, then name) or ends holding none;
 * whoever holds a key may only take keys of a higher class, which is checked each time, so that no two calls can wait
 * for each other; a key without holder and waiter takes no memory.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Fault } from './fault.ts';

/** From the lowest, which is taken first, to the highest. */
export const lockClasses = ['volume', 'vm', 'vmgroup'] as const;
export type LockClass = (typeof lockClasses)[number];
export type LockMode = 'read' | 'write';

export interface LockRequest {
  readonly class: LockClass;
  readonly name: string;
  readonly mode: LockMode;
}

export interface HoldOptions {
  /** Ends the wait; what has begun is not ended by it. */
  readonly signal: AbortSignal;
  /** What the lock is held for, for people: "mount", "create". */
  readonly what: string;
}

/** One who holds a key or waits for it. */
export interface LockUse {
  readonly what: string;
  readonly mode: LockMode;
  /** For how long it holds, or waits. */
  readonly forMs: number;
}

export interface LockState {
  /** Class and name: `volume:db@local`. */
  readonly key: string;
  readonly holders: readonly LockUse[];
  readonly waiters: readonly LockUse[];
}

interface Use {
  readonly what: string;
  readonly mode: LockMode;
  sinceMs: number;
}

interface Waiter extends Use {
  readonly grant: () => void;
}

interface Entry {
  readonly holders: Set<Use>;
  readonly queue: Waiter[];
}

/** What a piece of work holds, as seen by all that it calls. */
interface Holding {
  readonly highest: number;
  readonly keys: string;
  isOver: boolean;
  readonly outer: Holding | undefined;
}

export class KeyedLock {
  readonly #entries = new Map<string, Entry>();
  readonly #holding = new AsyncLocalStorage<Holding>();

  /** Keys that are held or waited for; falls back to 0 when idle. */
  get size(): number {
    return this.#entries.size;
  }

  /** Who holds and who waits, for how long already. */
  report(): readonly LockState[] {
    const nowMs = performance.now();
    const told = ({ what, mode, sinceMs }: Use): LockUse => ({ what, mode, forMs: Math.round(nowMs - sinceMs) });
    return Array.from(this.#entries, ([key, { holders, queue }]) => ({
      key,
      holders: Array.from(holders, told),
      waiters: queue.map(told),
    }));
  }

  /** Whether anybody holds this key or waits for it. */
  isTaken(lockClass: LockClass, name: string): boolean {
    return this.#entries.has(keyOf(lockClass, name));
  }

  /** What those want that wait for this key now, in their order. */
  waitersOf(lockClass: LockClass, name: string): readonly string[] {
    return this.#entries.get(keyOf(lockClass, name))?.queue.map(({ what }) => what) ?? [];
  }

  /**
   * Waits its turn for all keys, then runs the work; they are free again when it has ended. A key asked for twice is
   * taken once, for writing if either asks so.
   * @throws Fault Busy, saying who holds the key, when the signal's time limit ends the wait; the signal's reason when
   * it is aborted otherwise; Internal at once when the caller holds a key of the same class or a higher one
   */
  async hold<T>(requests: readonly LockRequest[], options: HoldOptions, work: () => Promise<T>): Promise<T> {
    const sorted = merged(requests);
    const outer = this.#outer();
    checkOrder(sorted, outer);
    const releases: (() => void)[] = [];
    const holding: Holding = {
      highest: lockClasses.indexOf(sorted.at(-1)?.class ?? 'volume'),
      keys: sorted.map((request) => keyOf(request.class, request.name)).join(', '),
      isOver: false,
      outer,
    };
    try {
      for (const request of sorted) releases.push(await this.#take(request, options));
      return await this.#holding.run(holding, work);
    } finally {
      holding.isOver = true;
      for (const release of releases.reverse()) release();
    }
  }

  /** For work that the caller begins and does not wait for: it holds nothing, whatever its beginner holds. */
  apart<T>(work: () => T): T {
    return this.#holding.exit(work);
  }

  /** What the caller still holds: work that goes on after its lock was let go holds nothing by it. */
  #outer(): Holding | undefined {
    let outer = this.#holding.getStore();
    while (outer?.isOver) outer = outer.outer;
    return outer;
  }

  async #take(request: LockRequest, { signal, what }: HoldOptions): Promise<() => void> {
    const key = keyOf(request.class, request.name);
    let entry = this.#entries.get(key);
    if (signal.aborted) throw gaveUp(request, entry, signal.reason);
    if (!entry) this.#entries.set(key, (entry = { holders: new Set(), queue: [] }));
    const owner = entry;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const grant = (): void => resolve(undefined);
    const waiter: Waiter = { what, mode: request.mode, sinceMs: performance.now(), grant };
    owner.queue.push(waiter);
    const giveUp = (): void => {
      const place = owner.queue.indexOf(waiter);
      if (place === -1) return;
      owner.queue.splice(place, 1);
      reject(gaveUp(request, owner, signal.reason));
      this.#serve(key, owner);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    this.#serve(key, owner);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
    return () => {
      owner.holders.delete(waiter);
      this.#serve(key, owner);
    };
  }

  #serve(key: string, { holders, queue }: Entry): void {
    for (let next = queue[0]; next; next = queue[0]) {
      const [holder] = holders;
      if (holder && (holder.mode === 'write' || next.mode === 'write')) return;
      queue.shift();
      next.sinceMs = performance.now();
      holders.add(next);
      next.grant();
    }
    if (holders.size === 0) this.#entries.delete(key);
  }
}

function keyOf(lockClass: LockClass, name: string): string {
  return `${lockClass}:${name}`;
}

function merged(requests: readonly LockRequest[]): readonly LockRequest[] {
  const byKey = new Map<string, LockRequest>();
  for (const request of requests) {
    const key = keyOf(request.class, request.name);
    if (byKey.get(key)?.mode !== 'write') byKey.set(key, request);
  }
  const all = [...byKey.values()];
  if (all.length < 2) return all;
  return all.sort(
    (one, other) =>
      lockClasses.indexOf(one.class) - lockClasses.indexOf(other.class) || (one.name < other.name ? -1 : 1),
  );
}

function checkOrder(requests: readonly LockRequest[], outer: Holding | undefined): void {
  if (!outer) return;
  const wrong = requests.find((request) => lockClasses.indexOf(request.class) <= outer.highest);
  if (!wrong) return;
  throw new Fault(
    'Internal',
    `lock ${keyOf(wrong.class, wrong.name)} was asked for while ${outer.keys} is held; classes are taken in the order ${lockClasses.join(', ')}, and keys of one class in one call`,
  );
}

/** Nothing was begun, so a wait that took too long ends as busy, not as unsure. */
function gaveUp(request: LockRequest, entry: Entry | undefined, reason: unknown): Fault {
  if (!(reason instanceof Fault) || reason.code !== 'DeadlineExceeded') return reason as Fault;
  const nowMs = performance.now();
  const held = Array.from(
    entry?.holders ?? [],
    ({ what, sinceMs }) => `${what} (for ${Math.round((nowMs - sinceMs) / 1000)} s)`,
  );
  const by = held.length > 0 ? held.join(', ') : 'others that wait';
  return new Fault('Busy', `${request.class} ${request.name} is busy with ${by}; try again later`, { cause: reason });
}
