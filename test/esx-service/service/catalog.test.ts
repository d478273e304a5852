import test from 'ava';
import fc from 'fast-check';
import { type Logger, silentLogger } from '../../../common/logging.ts';
import { type FullName, parseVolumeName, type VolumeName } from '../../../common/names.ts';
import { foreignMetadata } from '../../../esx-service/core/foreign-disk.ts';
import { fullNameOf, recordOf, type VolumeRecord } from '../../../esx-service/core/volume-record.ts';
import { Catalog } from '../../../esx-service/service/catalog.ts';
import type { ChannelEvent } from '../../../native/channel/contract.ts';

function record(name: string, allocatedBytes = 0): VolumeRecord {
  return recordOf({
    name: name as VolumeName,
    datastore: 'local',
    metadata: foreignMetadata({ descriptor: undefined, diskId: name, allocatedBytes: 0, createdAt: new Date(0) }),
    hasMetadata: true,
    extent: { diskId: name, path: name, offsetBytes: 0, sizeBytes: 512 },
    allocatedBytes,
    problem: undefined,
  });
}

const namesIn = (catalog: Catalog): string[] => catalog.view.records.map((entry) => fullNameOf(entry));

test('catalog: after any changes it finds, pages and counts as a plain map would', (t) => {
  const change = fc.record({
    name: fc.constantFrom('a', 'b', 'B', 'a b', 'ä', 'aa', '-', '~', '漢', '.'),
    isRemoval: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.integer({ min: 1, max: 4 }), (changes, limit) => {
      const catalog = new Catalog([record('b')], silentLogger);
      const model = new Map([['b@local', 0]]);
      const events: ChannelEvent[] = [];
      catalog.watch((event) => events.push(event));
      for (const [index, { name, isRemoval }] of changes.entries()) {
        if (isRemoval) {
          catalog.publishRemoval(record(name));
          model.delete(`${name}@local`);
        } else {
          catalog.publish(record(name, index));
          model.set(`${name}@local`, index);
        }
      }
      const sorted = [...model.keys()].sort();
      t.deepEqual(namesIn(catalog), sorted);
      for (const name of ['a', 'b', 'B', '漢', 'none']) {
        t.is(catalog.find(`${name}@local` as FullName)?.volume.allocatedBytes, model.get(`${name}@local`));
      }
      const paged: string[] = [];
      for (let after: string | undefined, more = true; more; more = after !== undefined) {
        const page = catalog.page(after, limit);
        t.true(page.volumes.length <= limit);
        paged.push(...page.volumes.map((volume) => `${volume.name}@${volume.datastore}`));
        after = page.next;
      }
      t.deepEqual(paged, sorted);
      t.deepEqual(
        events.map(({ sequence }) => sequence),
        events.map((_, index) => index + 1),
      );
      t.is(catalog.view.sequence, events.length);
    }),
  );
});

test('catalog: a view that a reader holds never changes', (t) => {
  const catalog = new Catalog([record('a'), record('b')], silentLogger);
  const before = catalog.view;
  const snapshot = structuredClone(before);
  catalog.publish(record('a', 7));
  catalog.publish(record('c'));
  catalog.publishRemoval(record('b'));
  t.deepEqual(before, snapshot);
  t.throws(() => Object.assign(before.records[0]?.volume ?? {}, { name: 'x' }), { instanceOf: TypeError });
});

test('catalog: a page continues behind a name that was removed meanwhile', (t) => {
  const catalog = new Catalog(
    ['a', 'b', 'c', 'd'].map((name) => record(name)),
    silentLogger,
  );
  const { next } = catalog.page(undefined, 2);
  t.is(next, 'b@local');
  catalog.publishRemoval(record('b'));
  t.deepEqual(
    catalog.page(next, 2).volumes.map(({ name }) => name),
    ['c', 'd'],
  );
  t.is(catalog.page(next, 2).next, undefined);
});

test('catalog: watchers are told each change once, in order, until they end their watch', (t) => {
  const catalog = new Catalog([], silentLogger);
  const seen: string[] = [];
  const stop = catalog.watch((event) => seen.push(`${event.sequence} ${event.kind}`));
  catalog.publish(record('a'));
  catalog.publishRemoval(record('none'));
  catalog.publishRemoval(record('a'));
  stop();
  stop();
  catalog.publish(record('b'));
  t.deepEqual(seen, ['1 changed', '2 removed']);
  t.is(catalog.watcherCount, 0);
});

test('catalog: a watcher that fails is logged and dropped, and harms neither the change nor the others', (t) => {
  const logged: string[] = [];
  const logger: Logger = { ...silentLogger, error: (message) => void logged.push(message) };
  const catalog = new Catalog([], logger);
  const seen: number[] = [];
  catalog.watch(() => {
    throw new Error('broken');
  });
  catalog.watch(({ sequence }) => seen.push(sequence));
  catalog.publish(record('a'));
  catalog.publish(record('b'));
  t.deepEqual(seen, [1, 2]);
  t.is(logged.length, 1);
  t.is(catalog.watcherCount, 1);
  t.is(catalog.find('a@local' as FullName)?.volume.name, parseVolumeName('a'));
});
