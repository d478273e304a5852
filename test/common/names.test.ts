import test from 'ava';
import fc from 'fast-check';
import { faultOf } from '../../common/fault.ts';
import { parseAskedName, parseFullName, parseVolumeName } from '../../common/names.ts';

for (const name of [
  'db',
  'my volume',
  'größe',
  '*',
  '#1',
  'a@b',
  '.hidden',
  '-x',
  'a-12345',
  'a-1234567',
  '日本語',
  '%41',
  '?',
]) {
  test(`names: ${JSON.stringify(name)} is a volume name`, (t) => {
    t.is(parseVolumeName(name), name as never);
  });
}

const refused: readonly (readonly [string, RegExp])[] = [
  ['', /empty/],
  ['.', /folder/],
  ['..', /folder/],
  ['../x', /"\/"/],
  ['a/b', /"\/"/],
  ['a\\b', /"\\"/],
  ['a"b', /double quote/],
  ['a\nb', /control/],
  ['a\u0000', /control/],
  ['\u007f', /control/],
  ['a-123456', /"-123456"/],
  ['a-flat', /"-flat"/],
  ['a-delta', /"-delta"/],
  ['x'.repeat(101), /101 characters; at most 100/],
  ['日'.repeat(80), /240 bytes/],
  ['\ud800', /Unicode/],
];
for (const [name, message] of refused) {
  test(`names: ${JSON.stringify(name.slice(0, 20))} of ${String(name.length)} is refused, saying why`, (t) => {
    const fault = faultOf(t.throws(() => parseVolumeName(name)));
    t.is(fault.code, 'InvalidName');
    t.regex(fault.message, message);
  });
}

test('names: the last @ splits, earlier ones belong to the name', (t) => {
  t.deepEqual(parseAskedName('a@b@c'), { name: 'a@b', datastore: 'c' } as never);
  t.deepEqual(parseAskedName('a'), { name: 'a', datastore: undefined } as never);
  t.throws(() => parseAskedName('a@'), { message: /datastore name "" is empty/ });
  t.throws(() => parseAskedName('@b'), { message: /volume name "" is empty/ });
  t.throws(() => parseFullName('a'), { message: /no "@datastore"/ });
});

test('names: whatever is accepted is one path segment, and fits a file name with our endings', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 120 }), (text) => {
      let name: string;
      try {
        name = parseVolumeName(text);
      } catch (error) {
        t.is(faultOf(error).code, 'InvalidName');
        return;
      }
      t.notRegex(name, /[/\0]/);
      t.true(Buffer.byteLength(`${name}-flat.vmdk`) <= 255);
      t.false(name === '.' || name === '..');
    }),
    { numRuns: 1000 },
  );
});
