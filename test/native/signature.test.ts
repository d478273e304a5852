import { open, truncate } from 'node:fs/promises';
import test from 'ava';
import { AmbivalentSignatureError, probeSignature } from '../../native/signature.ts';
import { run, scratch } from './support/scratch.ts';

const mebibyte = 1024 * 1024;
const sectorBytes = 512;

async function writeAt(path: string, offset: number, bytes: Buffer): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
}

/** IEEE 802.3, as in a GPT header. */
function crc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0xedb88320);
  }
  return ~crc >>> 0;
}

/** A table with no partition in it: header in sector 1, entries from sector 2 on. */
function gptHeader(sectors: number, entries: Buffer): Buffer {
  const header = Buffer.alloc(sectorBytes);
  header.write('EFI PART', 0, 'latin1');
  header.writeUInt32LE(0x00010000, 8);
  header.writeUInt32LE(92, 12);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(sectors - 1), 32);
  header.writeBigUInt64LE(34n, 40);
  header.writeBigUInt64LE(BigInt(sectors - 34), 48);
  header.fill(0xab, 56, 72);
  header.writeBigUInt64LE(2n, 72);
  header.writeUInt32LE(entries.length / 128, 80);
  header.writeUInt32LE(128, 84);
  header.writeUInt32LE(crc32(entries), 88);
  header.writeUInt32LE(crc32(header.subarray(0, 92)), 16);
  return header;
}

const fileSystems = [
  { type: 'ext4', sizeBytes: 16 * mebibyte, make: ['mkfs.ext4', '-q', '-F', '-L', 'my label'] },
  { type: 'xfs', sizeBytes: 320 * mebibyte, make: ['mkfs.xfs', '-q', '-L', 'my label'] },
  { type: 'btrfs', sizeBytes: 128 * mebibyte, make: ['mkfs.btrfs', '-q', '-L', 'my label'] },
] as const;

for (const { type, sizeBytes, make } of fileSystems) {
  test(`signature: ${type} is known, with its label and UUID`, async (t) => {
    const place = await scratch(t);
    const loop = await place.attach({ backingPath: await place.sparseFile('disk', sizeBytes) });
    const [maker, ...options] = make;
    await run(maker, ...options, loop.path);
    const found = await probeSignature(loop.path);
    t.like(found, { type, usage: 'filesystem', label: 'my label' });
    t.regex(found?.uuid ?? '', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });
}

test('signature: an empty disk has none', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', 8 * mebibyte) });
  t.is(await probeSignature(loop.path), undefined);
});

test('signature: bytes that nobody knows are none', async (t) => {
  const place = await scratch(t);
  const disk = await place.sparseFile('disk', 8 * mebibyte);
  await writeAt(disk, 0, Buffer.alloc(mebibyte, 'some text '));
  t.is(await probeSignature(disk), undefined);
});

test('signature: a disk with a GPT, even without partitions, is not empty', async (t) => {
  const place = await scratch(t);
  const sizeBytes = 8 * mebibyte;
  const disk = await place.sparseFile('disk', sizeBytes);
  const entries = Buffer.alloc(32 * sectorBytes);
  await writeAt(disk, sectorBytes, Buffer.concat([gptHeader(sizeBytes / sectorBytes, entries), entries]));
  t.like(await probeSignature(disk), {
    type: 'gpt',
    usage: 'partition-table',
    uuid: 'abababab-abab-abab-abab-abababababab',
  });
});

test('signature: a disk with an MBR is not empty', async (t) => {
  const place = await scratch(t);
  const disk = await place.sparseFile('disk', 8 * mebibyte);
  const sector = Buffer.alloc(sectorBytes);
  sector.writeUInt32LE(0x12345678, 440);
  // One Linux partition from sector 2048 on.
  sector[450] = 0x83;
  sector.writeUInt32LE(2048, 454);
  sector.writeUInt32LE(4096, 458);
  sector.writeUInt16LE(0xaa55, 510);
  await writeAt(disk, 0, sector);
  t.like(await probeSignature(disk), { type: 'dos', usage: 'partition-table', uuid: '12345678' });
});

/** Where the superblock, which is under a checksum, has its label. */
const labels = [
  { type: 'ext4', labelAt: 1024 + 0x78 },
  { type: 'xfs', labelAt: 108 },
  { type: 'btrfs', labelAt: 65_536 + 299 },
] as const;

for (const { type, labelAt } of labels) {
  test(`signature: ${type} with a broken checksum is still no empty disk`, async (t) => {
    const place = await scratch(t);
    const { sizeBytes, make } = fileSystems.find((fileSystem) => fileSystem.type === type) ?? fileSystems[0];
    const [maker, ...options] = make;
    const disk = await place.sparseFile('disk', sizeBytes);
    await run(maker, ...options, disk);
    await writeAt(disk, labelAt, Buffer.from('X'));
    t.like(await probeSignature(disk), { type, label: 'Xy label' });
  });
}

test('signature: two file systems on one disk are ambivalent', async (t) => {
  const place = await scratch(t);
  const disk = await place.sparseFile('disk', 320 * mebibyte);
  await run('mkfs.ext4', '-q', '-F', disk);
  const other = await place.sparseFile('other', 320 * mebibyte);
  await run('mkfs.xfs', '-q', other);
  await using source = await open(other);
  const sector = Buffer.alloc(sectorBytes);
  await source.read(sector, 0, sectorBytes, 0);
  await writeAt(disk, 0, sector);
  const error = await t.throwsAsync(probeSignature(disk), { instanceOf: AmbivalentSignatureError });
  t.regex(error.message, /ambivalent/);
  t.is(error.path, disk);
});

test('signature: a disk that cannot be read is an error, not empty', async (t) => {
  const place = await scratch(t);
  const backingPath = await place.sparseFile('disk', 16 * mebibyte);
  const loop = await place.attach({ backingPath, isReadOnly: true });
  await truncate(backingPath, 0);
  await t.throwsAsync(probeSignature(loop.path), { code: 'EIO', message: new RegExp(loop.path) });
  await t.throwsAsync(probeSignature(place.path('missing')), { code: 'ENOENT' });
});

test('signature: a disk that can be read only in part is an error, not empty', async (t) => {
  const place = await scratch(t);
  const backingPath = await place.sparseFile('disk', 16 * mebibyte);
  const loop = await place.attach({ backingPath, isReadOnly: true });
  await truncate(backingPath, 3 * mebibyte);
  await t.throwsAsync(probeSignature(loop.path), { code: 'EIO' });
});

test('signature: a disk without any length is an error, not empty', async (t) => {
  const place = await scratch(t);
  await t.throwsAsync(probeSignature(await place.sparseFile('disk', 0)), { code: 'ENXIO' });
});
