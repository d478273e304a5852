import test from 'ava';
import fc from 'fast-check';
import { faultOf } from '../../common/fault.ts';
import { formatSize, maxSizeBytes, parseSize } from '../../common/sizes.ts';

test('sizes: kb mb gb tb and k m g t, any case, are powers of 1024', (t) => {
  t.is(parseSize('100mb'), 100 * 1024 ** 2);
  t.is(parseSize('100MB'), 100 * 1024 ** 2);
  t.is(parseSize('100m'), 100 * 1024 ** 2);
  t.is(parseSize('2048Kb'), 2 * 1024 ** 2);
  t.is(parseSize('1g'), 1024 ** 3);
  t.is(parseSize('62TB'), maxSizeBytes);
});

for (const text of [
  '',
  '10',
  '10pb',
  '-1gb',
  '1.5gb',
  '0mb',
  '1kb',
  '63tb',
  'mb',
  '1 0mb',
  '1e3mb',
  '9'.repeat(40) + 'gb',
]) {
  test(`sizes: ${JSON.stringify(text.slice(0, 12))} is refused, naming the value and what is allowed`, (t) => {
    const fault = faultOf(t.throws(() => parseSize(text)));
    t.is(fault.code, 'InvalidOption');
    t.true(fault.message.includes(JSON.stringify(text)));
    t.regex(fault.message, /give/);
  });
}

test('sizes: what is shown reads back as at most the size, and at least nine tenths of it', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1024 ** 2, max: maxSizeBytes }), (bytes) => {
      const shown = parseSize(formatSize(bytes));
      t.true(shown <= bytes && shown >= bytes * 0.9);
    }),
  );
  t.is(formatSize(100 * 1024 ** 2), '100MB');
  t.is(formatSize(1536 * 1024 ** 2), '1536MB');
  t.is(formatSize(0), '0B');
});
