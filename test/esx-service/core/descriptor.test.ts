import test from 'ava';
import fc from 'fast-check';
import { faultOf } from '../../../common/fault.ts';
import { parseDescriptor, writeDescriptor } from '../../../esx-service/core/descriptor.ts';
import { formatDiskUuid, newDiskUuid, parseDiskUuid } from '../../../common/disk-uuid.ts';

const uuid = newDiskUuid('a1b2c3d4-e5f6-4789-8abc-def012345678');
const ours = { uuid, extentFile: 'db-flat.vmdk', sizeBytes: 100 * 1024 * 1024, isThin: true };
const bytes = (text: string): Uint8Array => Buffer.from(text);
const qemu = [
  '# Disk DescriptorFile',
  'version=1',
  'CID=b7a43ef',
  'parentCID=ffffffff',
  'createType="monolithicFlat"',
  '',
  '# Extent description',
  'RW 20480 FLAT "a b-flat.vmdk" 0',
  '',
  '# The Disk Data Base',
  '#DDB',
  '',
  'ddb.virtualHWVersion = "4"',
  'ddb.adapterType = "ide"',
].join('\n');

test('descriptor: ours reads as VMware writes it', (t) => {
  const text = writeDescriptor(ours);
  for (const line of [
    'version=1',
    'encoding="UTF-8"',
    'CID=12345678',
    'parentCID=ffffffff',
    'createType="vmfs"',
    'RW 204800 VMFS "db-flat.vmdk"',
    'ddb.adapterType = "lsilogic"',
    'ddb.geometry.cylinders = "100"',
    'ddb.geometry.heads = "64"',
    'ddb.geometry.sectors = "32"',
    `ddb.longContentID = "${uuid}"`,
    'ddb.thinProvisioned = "1"',
    'ddb.virtualHWVersion = "13"',
  ]) {
    t.true(text.split('\n').includes(line), `line ${line}`);
  }
  t.regex(text, /^ddb\.uuid = "60 00 C2 9[0-9a-f](?: [0-9a-f]{2}){4}-[0-9a-f]{2}(?: [0-9a-f]{2}){7}"$/m);
  t.false(writeDescriptor({ ...ours, isThin: false }).includes('thinProvisioned'));
});

test('descriptor: any extent name that a volume can have, and any size, come back as they were', (t) => {
  const name = fc
    .string({
      unit: fc.oneof(
        fc.constantFrom('"', ' ', '0', '=', '#', "'", '\u2028', 'ä', '漢'),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
      ),
      minLength: 1,
      maxLength: 100,
    })
    .filter((text) => !/[/\\]|\p{Cc}/u.test(text) && text.isWellFormed())
    .map((text) => `${text}-flat.vmdk`);
  fc.assert(
    fc.property(name, fc.integer({ min: 1, max: 2 ** 37 }), fc.boolean(), (extentFile, sectors, isThin) => {
      const sizeBytes = sectors * 512;
      const parsed = parseDescriptor(bytes(writeDescriptor({ uuid, extentFile, sizeBytes, isThin })));
      t.deepEqual(parsed, { uuid, extentFile, sizeBytes, isThin, offsetBytes: 0 });
    }),
  );
});

test('descriptor: any UUID is written so that it is read again', (t) => {
  fc.assert(
    fc.property(fc.uuid(), (random) => {
      const made = newDiskUuid(random);
      t.is(parseDiskUuid(formatDiskUuid(made)), made);
      t.true(formatDiskUuid(made).startsWith('60 00 C2 9'));
    }),
  );
});

test("descriptor: QEMU's flat one is read, with a short CID, padding NULs, CRLF and an offset", (t) => {
  const expected = {
    uuid: undefined,
    extentFile: 'a b-flat.vmdk',
    sizeBytes: 20480 * 512,
    isThin: false,
    offsetBytes: 0,
  };
  t.deepEqual(parseDescriptor(bytes(qemu)), expected);
  t.deepEqual(parseDescriptor(bytes(`${qemu}\n${'\0'.repeat(200)}`)), expected);
  t.deepEqual(parseDescriptor(bytes(qemu.replaceAll('\n', '\r\n'))), expected);
  t.is(parseDescriptor(bytes(qemu.replace('" 0', '" 63'))).offsetBytes, 63 * 512);
});

for (const [what, text, mention] of [
  ['a sparse disk', 'KDMV\u0001\u0000', 'sparse VMDK'],
  ['a copy-on-write delta', 'COWD\u0001\u0000', 'delta'],
  ['streamOptimized', qemu.replace('monolithicFlat', 'streamOptimized'), 'streamOptimized'],
  ['a sparse extent', qemu.replace(' FLAT ', ' SPARSE '), 'SPARSE'],
  ['a child of another disk', qemu.replace('parentCID=ffffffff', 'parentCID=1234abcd'), 'without a parent'],
  ['two extents', qemu.replace('RW 20480', 'RW 20480 FLAT "other-flat.vmdk" 0\nRW 20480'), '2 extents'],
  ['no extent', qemu.replace(/^RW.*$/m, ''), 'no extent'],
  ['a read-only extent', qemu.replace('RW ', 'RDONLY '), 'RDONLY'],
  ['an extent in a folder above', qemu.replace('a b-flat', '../secret'), 'own folder'],
  ['an absolute extent', qemu.replace('a b-flat', '/etc/secret'), 'own folder'],
  ['an extent that is the folder', qemu.replace('a b-flat.vmdk', '..'), 'own folder'],
  ['an empty extent', qemu.replace('20480', '0'), 'without sectors'],
  ['an extent beyond all numbers', qemu.replace('20480', '9'.repeat(20)), 'impossibly large'],
  ['no type', qemu.replace(/^createType.*$/m, ''), 'no createType'],
  ['a CID that is none', qemu.replace('b7a43ef', '123456789'), '123456789'],
  ['a nonsense line', `${qemu}\n%%`, '%%'],
  ['another text file', 'hello', 'not a VMDK descriptor'],
  ['an empty file', '', 'not a VMDK descriptor'],
  ['binary data behind the text', `${qemu}\0\u0001`, 'not a text file'],
] as const) {
  test(`descriptor: ${what} is refused in a sentence that says so`, (t) => {
    const fault = faultOf(t.throws(() => parseDescriptor(bytes(text))));
    t.is(fault.code, 'DamagedVolume');
    t.true(fault.message.includes(mention), `sentence: ${fault.message}`);
  });
}

test('descriptor: bytes that are no UTF-8 are refused, since the name of the extent could be any', (t) => {
  const latin = Buffer.from(qemu.replace('a b', 'ä'), 'latin1');
  t.throws(() => parseDescriptor(latin), { code: 'DamagedVolume', message: /not UTF-8/ });
});

test('descriptor: whatever the bytes, the answer is a disk in its own folder or a refusal', (t) => {
  const line = fc.oneof(
    fc.constantFrom(...qemu.split('\n'), 'RW 8 VMFS "x"', 'RW 8 FLAT "x" 9', 'createType="vmfs"'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        const { extentFile, sizeBytes } = parseDescriptor(bytes(['# Disk DescriptorFile', ...lines].join('\n')));
        t.notRegex(extentFile, /\//);
        t.true(sizeBytes > 0);
      } catch (error) {
        t.is(faultOf(error).code, 'DamagedVolume');
      }
    }),
  );
});
