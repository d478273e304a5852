/** The lock's order of classes, its report, and the end of a wait that takes too long. */
import test from 'ava';
import { Fault } from '../../common/fault.ts';
import { KeyedLock, type LockRequest } from '../../common/keyed-lock.ts';

const never = new AbortController().signal;
const write = (name: string): LockRequest => ({ class: 'volume', name, mode: 'write' });
const read = (name: string): LockRequest => ({ class: 'volume', name, mode: 'read' });

test('keyed lock: classes are taken upwards only; a lower or an equal one throws at once while one is held', async (t) => {
  const lock = new KeyedLock();
  const options = { signal: never, what: 'test' };
  const vm: LockRequest = { class: 'vm', name: 'one', mode: 'write' };
  await lock.hold([write('a')], options, () => lock.hold([vm], options, () => Promise.resolve()));
  for (const [outer, inner] of [
    [vm, write('a')],
    [vm, { ...vm, name: 'two' }],
    [write('a'), write('b')],
    [read('a'), read('a')],
  ] as const) {
    const work = lock.hold([outer], options, async () => {
      // Through a step in between: it counts what is held, not who calls.
      await Promise.resolve();
      await lock.hold([inner], options, () => Promise.resolve());
    });
    const fault = await t.throwsAsync(work, { instanceOf: Fault, message: /classes are taken in the order/ });
    t.is(fault.code, 'Internal');
    t.is(lock.size, 0);
  }
});

test('keyed lock: work that goes on after its lock was let go holds nothing by it', async (t) => {
  const lock = new KeyedLock();
  const options = { signal: never, what: 'test' };
  const over = Promise.withResolvers<undefined>();
  let later: Promise<string> | undefined;
  await lock.hold([write('a')], options, () => {
    later = over.promise.then(() => lock.hold([write('a')], options, () => Promise.resolve('held')));
    return Promise.resolve();
  });
  over.resolve(undefined);
  t.is(await later, 'held');
});

test('keyed lock: work that its beginner does not wait for may take the same key later', async (t) => {
  const lock = new KeyedLock();
  const options = { signal: never, what: 'test' };
  let later: Promise<string> | undefined;
  await lock.hold([write('a')], options, async () => {
    later = lock.apart(() => lock.hold([write('a')], options, () => Promise.resolve('held')));
    await Promise.resolve();
    t.deepEqual(lock.waitersOf('volume', 'a'), ['test']);
  });
  t.is(await later, 'held');
});

test('keyed lock: the report says who holds and who waits, for what and since when', async (t) => {
  const lock = new KeyedLock();
  const over = Promise.withResolvers<undefined>();
  const first = lock.hold([write('a')], { signal: never, what: 'create' }, () => over.promise);
  const second = lock.hold([read('a')], { signal: never, what: 'clone' }, () => Promise.resolve());
  const [state, ...others] = lock.report();
  t.deepEqual(others, []);
  t.is(state?.key, 'volume:a');
  t.like(state?.holders[0], { what: 'create', mode: 'write' });
  t.like(state?.waiters[0], { what: 'clone', mode: 'read' });
  t.true((state?.waiters[0]?.forMs ?? -1) >= 0);
  t.deepEqual(lock.waitersOf('volume', 'a'), ['clone']);
  over.resolve(undefined);
  await Promise.all([first, second]);
  t.deepEqual(lock.report(), []);
});

test('keyed lock: a wait that takes too long ends as busy and names what holds the key', async (t) => {
  const lock = new KeyedLock();
  const over = Promise.withResolvers<undefined>();
  const first = lock.hold([write('a')], { signal: never, what: 'create' }, () => over.promise);
  const controller = new AbortController();
  const second = lock.hold([write('a')], { signal: controller.signal, what: 'mount' }, () => Promise.resolve());
  controller.abort(new Fault('DeadlineExceeded', 'mounting a took longer than 1 s'));
  const fault = await t.throwsAsync(second, {
    instanceOf: Fault,
    message: /volume a is busy with create \(for \d+ s\)/,
  });
  t.is(fault.code, 'Busy');
  over.resolve(undefined);
  await first;
});
