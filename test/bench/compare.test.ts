import test from 'ava';
import { compareCycles, compareDisturbed, compareSteps } from './compare.ts';
import type { Disturbed } from './figures.ts';
import type { Batch } from './floor.ts';
import { median, summary } from './statistics.ts';
import { StepTimes } from './step-times.ts';
import { tableOf } from './table.ts';
import { rowsOf } from './verdicts.ts';

function batch(createMs: readonly number[], wallSeconds = 1, errors = 0): Batch {
  const times = new StepTimes();
  for (const ms of createMs) {
    times.add('create', ms);
    times.add('remove', ms);
  }
  return { steps: times.all, wallSeconds, errors };
}

test('bench statistics: the median of an even count lies between the middle two', (t) => {
  t.is(median([4, 1, 3, 2]), 2.5);
});

test('bench statistics: p99 is a value that was measured', (t) => {
  t.deepEqual(summary(Array.from({ length: 200 }, (_, value) => value + 1)), { n: 200, p50: 100.5, p99: 198 });
  t.deepEqual(summary([7]), { n: 1, p50: 7, p99: 7 });
});

test('bench statistics: nothing measured is an error, not a zero', (t) => {
  t.throws(() => summary([]));
});

test('bench comparison: a drift that hits both sides of a round does not move the ratio', (t) => {
  const rounds = [1, 10, 100].map((drift) => ({ floor: batch([drift]), product: batch([2 * drift]) }));
  const { create, mount } = compareSteps(rounds);
  t.like(create, { ratio: 2, difference: 10 });
  t.is(mount, undefined);
});

test('bench comparison: a cycle counts only when its remove succeeded', (t) => {
  const found = compareCycles(8, [{ floor: batch([1, 1, 1, 1]), product: batch([1, 1], 2, 3) }]);
  t.is(found.productPerSecond, 1);
  t.is(found.floorPerSecond, 4);
  t.is(found.ratio, 0.25);
  t.is(found.productErrors, 3);
});

test('bench verdicts: errors miss the target whatever the rate', (t) => {
  const cycles = [{ floor: batch([1]), product: batch([1], 1, 1) }];
  const [row] = rowsOf({ cycles: [compareCycles(32, cycles)] });
  t.like(row, { isMet: false });
  t.regex(row?.product ?? '', /1 errors/);
});

test('bench verdicts: requests with other commands than the design says are named', (t) => {
  const commands = [
    { request: 'Create', expected: 1, sent: { create: 1 } },
    { request: 'Get', expected: 0, sent: { get: 1 } },
  ];
  const [row] = rowsOf({ commands });
  t.like(row, { isMet: false, product: 'Get {"get":1}' });
});

test('bench comparison: a disturbance is the median of what each round found, not of all rounds together', (t) => {
  const rounds = [1, 1, 50].map((drift) => ({ idle: [drift], loaded: [2 * drift] }));
  t.deepEqual(compareDisturbed(rounds, 'p99'), { idleMs: 1, loadedMs: 2, ratio: 2, samples: 3 });
});

test('bench verdicts: readers are judged by what their number grows by, and only those of the product', (t) => {
  const found = (ratio: number): Disturbed => ({ idleMs: 1, loadedMs: ratio, ratio, samples: 1 });
  const at = { mounts: 'waiting', list: found(1.5), get: found(1.6), mountsPerSecond: 0, clonesEnded: 0 } as const;
  const beside = [
    { server: 'apart', ...at },
    { server: 'nothing', ...at },
  ] as const;
  const rows = rowsOf({ readers: { volumes: 1000, clones: 32, mounts: 100, beside } });
  t.deepEqual(
    rows.map(({ isMet }) => isMet),
    [true, false, undefined, undefined, undefined],
  );
});

test('bench table: columns are aligned, and a missed target stands out', (t) => {
  const row = { product: '1', other: '', ratio: '', target: '<= 0' };
  const lines = tableOf([
    { ...row, measure: 'long measure', isMet: false },
    { ...row, measure: 'short', isMet: undefined },
  ]).split('\n');
  t.is(lines[2]?.indexOf('1'), lines[3]?.indexOf('1'));
  t.regex(lines[2] ?? '', / MISSED$/);
});
