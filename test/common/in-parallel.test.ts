import test from 'ava';
import { inParallel } from '../../common/in-parallel.ts';

test('parallel: no more than so many are at work, and the results are in order', async (t) => {
  let [now, most] = [0, 0];
  const results = await inParallel(Array.from({ length: 20 }).keys(), 3, async (number) => {
    most = Math.max(most, (now += 1));
    for (let turn = 0; turn < 20 - number; turn += 1) await Promise.resolve();
    now -= 1;
    return number * 2;
  });
  t.deepEqual(
    results,
    Array.from({ length: 20 }, (_, number) => number * 2),
  );
  t.is(most, 3);
});

test('parallel: after a failure nothing is begun', async (t) => {
  const begun: number[] = [];
  const work = inParallel([1, 2, 3, 4, 5], 2, async (number) => {
    begun.push(number);
    await Promise.resolve();
    if (number === 1) throw new Error('one');
  });
  await t.throwsAsync(work, { message: 'one' });
  t.deepEqual(begun, [1, 2]);
});

test('parallel: nothing to do is done at once', async (t) => {
  t.deepEqual(await inParallel([], 4, () => Promise.resolve(1)), []);
});
