import test from 'ava';
import { readTapLine } from '../../scripts/test-run/tap.ts';

test('tap: a passed test has no failure, whatever its title holds', (t) => {
  t.deepEqual(readTapLine('ok 12 - sizes › reads 1 - 2 # of all'), {
    title: 'sizes › reads 1 - 2 # of all',
    failure: undefined,
  });
});

test('tap: a failed test is a failure', (t) => {
  t.deepEqual(readTapLine('not ok 3 - sizes › reads'), { title: 'sizes › reads', failure: 'failed' });
});

test('tap: skipped and unwritten tests are failures', (t) => {
  t.is(readTapLine('ok 4 - slow # SKIP')?.failure, 'skipped');
  t.is(readTapLine('not ok 5 - later # TODO')?.failure, 'not written');
});

test('tap: explanations and comments are no tests', (t) => {
  t.is(readTapLine('    message: not ok 3 - it'), undefined);
  t.is(readTapLine('# tests 12'), undefined);
});
