import test from 'ava';
import fc from 'fast-check';
import { backoffMs } from '../../../native/channel/backoff.ts';

test('backoff: pauses double up to the last', (t) => {
  const pauses = [0, 1, 2, 6, 7, 2000].map((failures) => backoffMs({ minMs: 20, maxMs: 2_000 }, failures, 0));
  t.deepEqual(pauses, [20, 40, 80, 1_280, 2_000, 2_000]);
});

test('backoff: each is shortened at random by up to half, and no more', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 100, max: 10_000 }),
      fc.nat(5_000),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (minMs, maxMs, failures, random) => {
        const full = backoffMs({ minMs, maxMs }, failures, 0);
        const pause = backoffMs({ minMs, maxMs }, failures, random);
        t.true(pause >= full / 2 && pause <= full && full <= maxMs && full >= minMs);
      },
    ),
  );
  const pauses = Array.from({ length: 20 }, () => backoffMs({ minMs: 20, maxMs: 2_000 }, 3));
  t.true(new Set(pauses).size > 1);
});
