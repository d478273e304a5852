import test from 'ava';
import fc from 'fast-check';
import { Fault } from '../../common/fault.ts';
import { KeyedLock, type LockMode, type LockRequest } from '../../common/keyed-lock.ts';

const never = new AbortController().signal;
const volume = (name: string, mode: LockMode): LockRequest => ({ class: 'volume', name, mode });
const write = (name: string): LockRequest => volume(name, 'write');
const read = (name: string): LockRequest => volume(name, 'read');

/** Holds until disposed. */
async function take(lock: KeyedLock, wanted: readonly LockRequest[], signal: AbortSignal): Promise<Disposable> {
  const held = Promise.withResolvers<Disposable>();
  const over = Promise.withResolvers<undefined>();
  lock
    .hold(wanted, { signal, what: 'test' }, async () => {
      held.resolve({ [Symbol.dispose]: () => over.resolve(undefined) });
      await over.promise;
    })
    .catch(held.reject);
  return held.promise;
}

/** All microtasks that are due. */
async function settled(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  setImmediate(resolve, undefined);
  await promise;
}

interface Holders {
  readers: number;
  writers: number;
}

/** Counts holders of each key, and fails as soon as a writer is not alone. */
class Witness {
  readonly #keys = new Map<string, Holders>();

  enter(requests: readonly LockRequest[]): () => void {
    const strongest = new Map<string, LockMode>();
    for (const { class: lockClass, name, mode } of requests) {
      const key = `${lockClass}:${name}`;
      if (strongest.get(key) !== 'write') strongest.set(key, mode);
    }
    for (const [key, mode] of strongest) {
      const holders = this.#keys.get(key) ?? { readers: 0, writers: 0 };
      this.#keys.set(key, holders);
      if (mode === 'write') holders.writers += 1;
      else holders.readers += 1;
      if (holders.writers > 1 || (holders.writers === 1 && holders.readers > 0)) throw new Error(`${key} is shared`);
    }
    return () => {
      for (const [key, mode] of strongest) {
        const holders = this.#keys.get(key);
        if (!holders) continue;
        if (mode === 'write') holders.writers -= 1;
        else holders.readers -= 1;
      }
    };
  }
}

const request = fc.record({
  class: fc.constantFrom('volume', 'vm', 'vmgroup'),
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  mode: fc.constantFrom('read', 'write'),
} as const);
const requests = fc.array(request, { minLength: 1, maxLength: 4 });

test('keyed lock: writers are alone, nobody waits for ever, and nothing is left, whatever the schedule', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.record({ requests, isCancelled: fc.boolean() }), { minLength: 1, maxLength: 10 }),
      async (s, tasks) => {
        const lock = new KeyedLock();
        const witness = new Witness();
        let ended = 0;
        const work = tasks.map(async (task, index) => {
          const controller = new AbortController();
          const reason = new Fault('Cancelled', 'enough');
          if (task.isCancelled)
            void s.schedule(Promise.resolve(), `abort ${index}`).then(() => controller.abort(reason));
          await s.schedule(Promise.resolve(), `start ${index}`);
          try {
            await lock.hold(task.requests, { signal: controller.signal, what: 'test' }, async () => {
              const leave = witness.enter(task.requests);
              await s.schedule(Promise.resolve(), `work ${index}`);
              leave();
            });
          } catch (error) {
            if (error !== reason) throw error;
          }
          ended += 1;
        });
        await s.waitIdle();
        await Promise.all(work);
        t.is(ended, tasks.length);
        t.is(lock.size, 0);
      },
    ),
    { numRuns: 300 },
  );
});

test('keyed lock: on one key the order of arrival is the order of service; only neighbouring readers share (containers/storage #473)', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom('read', 'write'), { minLength: 1, maxLength: 12 }), async (modes) => {
      const lock = new KeyedLock();
      const holder = await take(lock, [write('a')], never);
      const granted: { index: number; lock: Disposable }[] = [];
      modes.forEach((mode, index) => {
        void take(lock, [volume('a', mode)], never).then((held) => granted.push({ index, lock: held }));
      });
      await settled();
      t.is(granted.length, 0);
      holder[Symbol.dispose]();
      for (let next = 0; next < modes.length;) {
        await settled();
        let end = next + 1;
        while (modes[next] === 'read' && modes[end] === 'read') end += 1;
        const group = granted.splice(0);
        t.deepEqual(
          group.map(({ index }) => index),
          Array.from({ length: end - next }, (_, offset) => next + offset),
        );
        for (const { lock: held } of group) held[Symbol.dispose]();
        next = end;
      }
      await settled();
      t.is(lock.size, 0);
    }),
  );
});

test('keyed lock: a writer that waits is not overtaken by readers that come later (containers/storage #473)', async (t) => {
  const lock = new KeyedLock();
  const order: string[] = [];
  const first = await take(lock, [read('a')], never);
  const writer = take(lock, [write('a')], never).then((held) => (order.push('writer'), held));
  const reader = take(lock, [read('a')], never).then((held) => (order.push('reader'), held));
  await settled();
  t.deepEqual(order, []);
  first[Symbol.dispose]();
  (await writer)[Symbol.dispose]();
  (await reader)[Symbol.dispose]();
  t.deepEqual(order, ['writer', 'reader']);
});

test('keyed lock: a waiting writer that gives up lets the readers behind it pass', async (t) => {
  const lock = new KeyedLock();
  const first = await take(lock, [read('a')], never);
  const controller = new AbortController();
  const writer = take(lock, [write('a')], controller.signal);
  const reader = take(lock, [read('a')], never);
  const reason = new Fault('Cancelled', 'enough');
  controller.abort(reason);
  const ended = await t.throwsAsync(writer);
  t.is(ended, reason);
  (await reader)[Symbol.dispose]();
  first[Symbol.dispose]();
  await settled();
  t.is(lock.size, 0);
});

test('keyed lock: calls that name the same keys in opposite orders do not block each other for ever', async (t) => {
  const lock = new KeyedLock();
  let count = 0;
  const takeAll = async (keys: readonly string[]): Promise<void> => {
    for (let round = 0; round < 100; round += 1) {
      await lock.hold(keys.map(write), { signal: never, what: 'test' }, async () => {
        await Promise.resolve();
        count += 1;
      });
    }
  };
  await Promise.all([takeAll(['a', 'b']), takeAll(['b', 'a']), takeAll(['b', 'c', 'a'])]);
  t.is(count, 300);
  t.is(lock.size, 0);
});

test('keyed lock: one that gives up while it holds some of its keys holds none', async (t) => {
  const lock = new KeyedLock();
  const b = await take(lock, [write('b')], never);
  const controller = new AbortController();
  const both = take(lock, [write('a'), write('b')], controller.signal);
  await settled();
  controller.abort(new Fault('Cancelled', 'enough'));
  await t.throwsAsync(both);
  (await take(lock, [write('a')], never))[Symbol.dispose]();
  b[Symbol.dispose]();
  await settled();
  t.is(lock.size, 0);
});

test('keyed lock: a signal that is aborted already takes nothing', async (t) => {
  const lock = new KeyedLock();
  const reason = new Fault('Cancelled', 'before');
  const refused = await t.throwsAsync(take(lock, [write('a')], AbortSignal.abort(reason)));
  t.is(refused, reason);
  t.is(lock.size, 0);
});

test('keyed lock: an abort after the lock was granted changes nothing', async (t) => {
  const lock = new KeyedLock();
  const controller = new AbortController();
  const held = await take(lock, [write('a')], controller.signal);
  controller.abort(new Fault('Cancelled', 'late'));
  let isGranted = false;
  const next = take(lock, [write('a')], never).then((granted) => ((isGranted = true), granted));
  await settled();
  t.false(isGranted);
  held[Symbol.dispose]();
  (await next)[Symbol.dispose]();
});

test('keyed lock: a key asked for twice is taken once, for writing if either says so', async (t) => {
  const lock = new KeyedLock();
  const held = await take(lock, [read('a'), write('a'), read('a')], never);
  let isGranted = false;
  const reader = take(lock, [read('a')], never).then((granted) => ((isGranted = true), granted));
  await settled();
  t.false(isGranted);
  held[Symbol.dispose]();
  (await reader)[Symbol.dispose]();
});

test('keyed lock: keys do not wait for each other', async (t) => {
  const lock = new KeyedLock();
  using _ = await take(lock, [write('a')], never);
  (await take(lock, [write('b')], never))[Symbol.dispose]();
  await settled();
  t.is(lock.size, 1);
});
