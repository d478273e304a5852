import test from 'ava';
import fc from 'fast-check';
import {
  allOf,
  carriedOver,
  countOf,
  noReferences,
  type References,
  withoutReference,
  withReference,
} from '../../../plugin/core/references.ts';

const ids = fc.constantFrom('a', 'b', 'c');

test('references: they are a multiset of IDs, whatever the order of Mounts and Unmounts', (t) => {
  fc.assert(
    fc.property(fc.array(fc.record({ id: ids, isMount: fc.boolean() })), (history) => {
      const model = new Map<string, number>();
      let references: References = noReferences;
      for (const { id, isMount } of history) {
        const before = model.get(id) ?? 0;
        model.set(id, isMount ? before + 1 : Math.max(0, before - 1));
        references = isMount ? withReference(references, id, false) : withoutReference(references, id);
      }
      const expected = [...model].flatMap(([id, count]) => Array<string>(count).fill(id));
      t.deepEqual([...allOf(references)].sort(), expected.sort());
    }),
  );
});

test('references: a carried one gives way to the first Mount of its ID only', (t) => {
  const carried = carriedOver(withReference(withReference(noReferences, 'a', false), 'b', false));
  const first = withReference(carried, 'a', true);
  t.is(countOf(first), 2);
  t.is(countOf(withReference(first, 'a', true)), 3);
  t.deepEqual(carried.carried, ['a', 'b'], 'the earlier value is unchanged');
});

test('references: an Unmount takes a current one before a carried one', (t) => {
  const both = withReference(carriedOver(withReference(noReferences, 'a', false)), 'a', false);
  t.deepEqual(withoutReference(both, 'a'), { current: [], carried: ['a'] });
});
