import test from 'ava';
import { deadline, remainingMs } from '../../common/deadline.ts';
import type { Fault } from '../../common/fault.ts';

test('remainingMs: a signal of a deadline has at most its time left, and ever less', (t) => {
  using limit = deadline(60_000, 'this');
  const first = remainingMs(limit.signal) ?? NaN;
  t.true(first > 0 && first <= 60_000);
  const start = performance.now();
  while (performance.now() === start);
  t.true((remainingMs(limit.signal) ?? NaN) < first);
});

test('remainingMs: the nearest limit of all parents counts', (t) => {
  using outer = deadline(1_000, 'outer');
  using middle = deadline(60_000, 'middle', outer.signal);
  using inner = deadline(30_000, 'inner', middle.signal);
  t.true((remainingMs(inner.signal) ?? NaN) <= 1_000);
  using wide = deadline(60_000, 'wide');
  using narrow = deadline(10, 'narrow', wide.signal);
  t.true((remainingMs(narrow.signal) ?? NaN) <= 10);
});

test('remainingMs: a parent without a limit adds none', (t) => {
  using limit = deadline(60_000, 'this', new AbortController().signal);
  t.true((remainingMs(limit.signal) ?? NaN) > 50_000);
});

test('remainingMs: of any other signal nothing is known', (t) => {
  t.is(remainingMs(new AbortController().signal), undefined);
  t.is(remainingMs(AbortSignal.abort()), undefined);
});

test('remainingMs: it is never below zero', async (t) => {
  using limit = deadline(1, 'this');
  const over = Promise.withResolvers<undefined>();
  limit.signal.addEventListener('abort', () => over.resolve(undefined));
  await over.promise;
  t.is((limit.signal.reason as Fault).code, 'DeadlineExceeded');
  const start = performance.now();
  while (performance.now() < start + 2);
  t.is(remainingMs(limit.signal), 0);
});
