import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { faultOf } from '../../../common/fault.ts';
import { type DiskUuid, newDiskUuid } from '../../../common/disk-uuid.ts';
import { type Metadata, parseMetadata, writeMetadata } from '../../../esx-service/core/metadata.ts';

const file = '/ds/db.vmdk.json';
const metadata: Metadata = {
  uuid: newDiskUuid('a1b2c3d4-e5f6-4789-8abc-def012345678'),
  createKey: 'key',
  isNamedInFull: true,
  fstype: 'ext4',
  diskformat: 'thin',
  access: 'read-write',
  attachAs: 'persistent',
  mountOptions: ['noatime'],
  cloneFrom: 'other@local',
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: 'alpha',
  isFormatted: true,
  isFreshClone: false,
  root: { uid: 5, mode: 0o750 },
};

test('metadata: what was written is read again, without an optional field too', (t) => {
  t.deepEqual(parseMetadata(writeMetadata(metadata), file), metadata);
  const { cloneFrom: _, createKey: __, ...less } = metadata;
  t.deepEqual(parseMetadata(writeMetadata(less), file), less);
});

for (const [what, text, mention] of [
  ['half a file', writeMetadata(metadata).slice(0, 100), 'not JSON'],
  ['an empty file', '', 'not JSON'],
  ['no object', '7', 'damaged'],
  ['a wrong value', writeMetadata(metadata).replace('"thin"', '"fat"'), 'diskformat'],
  ['a field that we do not know', writeMetadata(metadata).replace('{', '{"more": 1,'), 'more'],
  [
    'a newer version',
    writeMetadata(metadata).replace('"formatVersion": 1', '"formatVersion": 2'),
    `${file} has format version 2, written by a newer vmdkopsd`,
  ],
  ['an identity that is none', writeMetadata(metadata).replace('6000c29', 'x000c29'), 'uuid'],
] as const) {
  test(`metadata: ${what} is damage, never a default`, (t) => {
    const fault = faultOf(t.throws(() => parseMetadata(text, file)));
    t.is(fault.code, 'DamagedVolume');
    t.true(fault.message.includes(mention), `sentence: ${fault.message}`);
  });
}

test('metadata: a file of format version 1 is read by this and every later release', async (t) => {
  const golden = await readFile(join(import.meta.dirname, 'fixtures/metadata-1.json'), 'utf8');
  t.deepEqual(parseMetadata(golden, file), { ...metadata, uuid: '6000c29a1b2c3d4e5f67890123456789' as DiskUuid });
});

test('metadata: a file cut anywhere is damage', (t) => {
  const text = writeMetadata(metadata).trimEnd();
  fc.assert(
    fc.property(fc.nat(text.length - 1), (length) => {
      t.throws(() => parseMetadata(text.slice(0, length), file), { code: 'DamagedVolume' });
    }),
  );
});
