/**
 * One fair read/write lock per key. Invariants: a writer is alone on its key; waiters are served in order of arrival,
 * so neither readers nor writers starve; a call takes all its keys in sorted order or ends holding none, so two calls
 * never wait on each other; a key without holder and waiter takes no memory. Left to callers: never acquire while
 * holding.
 */
export interface LockRequest {
  readonly key: string;
  readonly mode: 'read' | 'write';
}

interface Waiter {
  readonly mode: 'read' | 'write';
  readonly grant: () => void;
}

interface Entry {
  readers: number;
  hasWriter: boolean;
  readonly queue: Waiter[];
}

export class KeyedLock {
  readonly #entries = new Map<string, Entry>();

  /** Keys that are held or waited for; falls back to 0 when idle. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Waits its turn for all keys. A key asked for twice is taken once, for writing if either asks so. Rejects with the
   * signal's reason, holding nothing. Disposing twice is harmless.
   */
  async acquire(requests: readonly LockRequest[], signal: AbortSignal): Promise<Disposable> {
    const held: (() => void)[] = [];
    const release = (): void => {
      for (const open of held.splice(0).reverse()) open();
    };
    try {
      for (const [key, mode] of merged(requests)) held.push(await this.#take(key, mode, signal));
      return { [Symbol.dispose]: release };
    } catch (error) {
      release();
      throw error;
    }
  }

  async #take(key: string, mode: 'read' | 'write', signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    let entry = this.#entries.get(key);
    if (!entry) this.#entries.set(key, (entry = { readers: 0, hasWriter: false, queue: [] }));
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiter: Waiter = {
      mode,
      grant: () => {
        resolve(undefined);
      },
    };
    const owner = entry;
    owner.queue.push(waiter);
    const giveUp = (): void => {
      const place = owner.queue.indexOf(waiter);
      if (place === -1) return;
      owner.queue.splice(place, 1);
      this.#serve(key, owner);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    this.#serve(key, owner);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
    return () => {
      if (mode === 'write') owner.hasWriter = false;
      else owner.readers -= 1;
      this.#serve(key, owner);
    };
  }

  #serve(key: string, entry: Entry): void {
    for (let next = entry.queue[0]; next; next = entry.queue[0]) {
      if (entry.hasWriter || (next.mode === 'write' && entry.readers > 0)) return;
      entry.queue.shift();
      if (next.mode === 'write') entry.hasWriter = true;
      else entry.readers += 1;
      next.grant();
    }
    if (entry.readers === 0 && !entry.hasWriter) this.#entries.delete(key);
  }
}

function merged(requests: readonly LockRequest[]): [string, 'read' | 'write'][] {
  const modes = new Map<string, 'read' | 'write'>();
  for (const { key, mode } of requests) modes.set(key, modes.get(key) === 'write' ? 'write' : mode);
  return [...modes].sort(([a], [b]) => (a < b ? -1 : 1));
}
