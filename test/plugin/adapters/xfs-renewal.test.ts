import { randomBytes } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { faultOf } from '../../../common/fault.ts';
import { probeSignature } from '../../../native/signature.ts';
import { unmount } from '../../../native/mounts.ts';
import { openAlone } from '../../../plugin/adapters/sole-use.ts';
import { findUnmountRecord, type Log, logBlockBytes, recordStartWith } from '../../../plugin/adapters/xfs-log.ts';
import { planXfsRenewal, type Stages } from '../../../plugin/adapters/xfs-renewal.ts';
import { run } from '../../native/support/scratch.ts';
import { type Bench, bench, sizeBytes, textIn } from './volume-disk.ts';

const uuid = randomBytes(16);

/** An xfs that was used and unmounted, and its copy, which is not yet attached. */
async function copied(t: ExecutionContext): Promise<Bench & { source: string }> {
  const place = await bench(t);
  const source = await place.disk('source', sizeBytes.xfs);
  await place.fileSystems.make(source, 'xfs', 'db', place.signal);
  const target = await place.mounted(source, 'at-source', 'xfs');
  await writeFile(join(target, 'file'), 'data');
  await place.fileSystems.unmount(target);
  await place.copied('source', 'clone');
  return { ...place, source };
}

async function planOf(path: string): Promise<Stages> {
  await using file = await open(path);
  return await planXfsRenewal(file, uuid);
}

async function overwrite(path: string, offset: number, bytes: Buffer): Promise<void> {
  await using disk = await open(path, 'r+');
  await disk.write(bytes, 0, bytes.length, offset);
  await disk.sync();
}

test('xfs: the kernel itself mounts a clone beside its source only with a UUID of its own', async (t) => {
  const { scratch, source, attached, fileSystems, signal } = await copied(t);
  const clone = await attached('clone');
  const target = await scratch.directory('at');
  await scratch.mount({ source, target: await scratch.directory('at-original'), fstype: 'xfs' });
  await t.throwsAsync(scratch.mount({ source: clone, target, fstype: 'xfs' }), { code: 'EINVAL' });
  await fileSystems.prepareClone(clone, 'xfs', signal);
  await scratch.mount({ source: clone, target, fstype: 'xfs' });
  t.is(await textIn(target, 'file'), 'data');
});

test('xfs: a copy that nobody told us of is mounted beside its original', async (t) => {
  const { scratch, source, attached, mounted } = await copied(t);
  await scratch.mount({ source, target: await scratch.directory('at-original'), fstype: 'xfs' });
  t.is(await textIn(await mounted(await attached('clone'), 'at-copy', 'xfs'), 'file'), 'data');
});

test('xfs: after every single write of a new UUID the file system mounts, and takes its journal up again', async (t) => {
  const place = await copied(t);
  const { scratch, fileSystems, signal } = place;
  const first = await planOf(scratch.path('clone'));
  for (let count = 0; count <= first.flat().length; count += 1) {
    await place.copied('clone', `cut${count}`);
    for (const { offset, bytes } of (await planOf(scratch.path('clone'))).flat().slice(0, count)) {
      await overwrite(scratch.path(`cut${count}`), offset, bytes);
    }
    const cut = await place.attached(`cut${count}`);
    const target = await scratch.directory(`at-cut${count}`);
    await scratch.mount({ source: cut, target, fstype: 'xfs', data: 'nouuid' });
    await using late = await open(join(target, 'late'), 'w');
    await late.writeFile('in the journal');
    await late.sync();
    await place.copied(`cut${count}`, `crashed${count}`);
    const crashed = await place.attached(`crashed${count}`);
    await fileSystems.prepareClone(crashed, 'xfs', signal);
    const again = await place.mounted(crashed, `at-crashed${count}`, 'xfs');
    t.is(await textIn(again, 'file'), 'data');
    t.is(await textIn(again, 'late'), 'in the journal');
    await fileSystems.unmount(again);
    await t.notThrowsAsync(run('xfs_repair', '-n', crashed));
  }
});

test('xfs: a new UUID is not begun while the log may still hold something', async (t) => {
  const { scratch, source, copied: copy } = await copied(t);
  const target = await scratch.directory('at');
  await scratch.mount({ source, target, fstype: 'xfs' });
  await writeFile(join(target, 'other'), 'data', { flush: true });
  await copy('source', 'live');
  const fault = faultOf(await t.throwsAsync(planOf(scratch.path('live'))));
  t.is(fault.code, 'DamagedVolume');
  t.regex(fault.message, /its log does not end .* check the source with xfs_repair, and clone it again/);
});

test('xfs: a last record that is damaged anywhere proves nothing', async (t) => {
  const { scratch } = await copied(t);
  const [[record]] = (await planOf(scratch.path('clone'))) as [[{ offset: number; bytes: Buffer }]];
  const image = scratch.path('clone');
  for (const at of [8, 16, 40, 100, 304, 320, logBlockBytes + 9, logBlockBytes + 100]) {
    await using disk = await open(image, 'r+');
    const { buffer } = await disk.read(Buffer.alloc(1), 0, 1, record.offset + at);
    await disk.write(Buffer.from([buffer.readUInt8() ^ 1]), 0, 1, record.offset + at);
    const failure = await t.throwsAsync(planOf(image), undefined, `byte ${at}`);
    t.is(faultOf(failure).code, 'DamagedVolume');
    await disk.write(buffer, 0, 1, record.offset + at);
  }
  await t.notThrowsAsync(planOf(image));
});

test('xfs: a clone of which a copy of the superblock is damaged is refused and left alone', async (t) => {
  const { scratch, attached, fileSystems, signal } = await copied(t);
  const [, , [secondary]] = (await planOf(scratch.path('clone'))) as [unknown, unknown, [{ offset: number }]];
  await overwrite(scratch.path('clone'), secondary.offset + 300, Buffer.from('damage'));
  const clone = await attached('clone');
  const before = await probeSignature(clone);
  const fault = faultOf(await t.throwsAsync(fileSystems.prepareClone(clone, 'xfs', signal)));
  t.is(fault.code, 'DamagedVolume');
  t.regex(fault.message, /copy of its superblock/);
  t.deepEqual(await probeSignature(clone), before);
});

test('xfs: a superblock of another file system in the place of a copy is not taken for one', async (t) => {
  const { scratch, fileSystems, disk, signal } = await copied(t);
  const other = await disk('other', sizeBytes.xfs);
  await fileSystems.make(other, 'xfs', 'other', signal);
  const [, , [secondary]] = (await planOf(scratch.path('clone'))) as [unknown, unknown, [{ offset: number }]];
  await using foreign = await open(other);
  const { buffer } = await foreign.read(Buffer.alloc(512), 0, 512, secondary.offset);
  await overwrite(scratch.path('clone'), secondary.offset, buffer);
  const failure = await t.throwsAsync(planOf(scratch.path('clone')));
  t.is(faultOf(failure).code, 'DamagedVolume');
});

test('xfs: at the end the log names the new UUID too, so that another can follow at once', async (t) => {
  const { scratch } = await copied(t);
  const clone = scratch.path('clone');
  for (const { offset, bytes } of (await planOf(clone)).flat()) await overwrite(clone, offset, bytes);
  await t.notThrowsAsync(planOf(clone));
});

test('xfs: a clone that cannot be mounted is damaged', async (t) => {
  const { scratch, attached, fileSystems, signal } = await copied(t);
  await overwrite(scratch.path('clone'), 300, Buffer.from('damage'));
  const fault = faultOf(await t.throwsAsync(fileSystems.prepareClone(await attached('clone'), 'xfs', signal)));
  t.is(fault.code, 'DamagedVolume');
});

test('xfs: one with its log on a disk of its own is not supported', async (t) => {
  const place = await bench(t);
  const [data, log] = [await place.disk('data', sizeBytes.xfs), await place.disk('log', sizeBytes.xfs)];
  await run('mkfs.xfs', '-q', '-l', `logdev=${log}`, data);
  const failure = await t.throwsAsync(planOf(data));
  t.is(faultOf(failure).code, 'NotSupported');
});

test.serial('a disk that is mounted in another namespace is not opened alone', async (t) => {
  const { scratch, source, signal } = await copied(t);
  const target = await scratch.directory('at');
  await scratch.mount({ source, target, fstype: 'xfs' });
  const holder = await scratch.apart();
  await unmount(target);
  const failure = await t.throwsAsync(openAlone(source, signal));
  t.is(faultOf(failure).code, 'VolumeInUse');
  await holder.end();
  await (await openAlone(source, signal)).close();
});

const unmountFlag = 0x20;

/** A log of which the last record starts at a block, and wraps if it must, as the kernel writes it. */
function logEndingWith(
  block: number,
  blockCount: number,
  [headerBytes, payloadBytes]: readonly [number, number],
  flags = unmountFlag,
): Log & { blocks: readonly Buffer[] } {
  const cycle = 7;
  const blocks = Array.from({ length: blockCount }, () => Buffer.alloc(logBlockBytes));
  const size = headerBytes + payloadBytes;
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(0xfeedbabe, 0);
  header.writeUInt32BE(cycle, 4);
  header.writeUInt32BE(payloadBytes, 12);
  header.writeBigUInt64BE((BigInt(cycle) << 32n) | BigInt(block), 16);
  header.writeUInt32BE(1, 40);
  header.writeUInt32BE((headerBytes / logBlockBytes) * 32_768, 320);
  const payload = Buffer.alloc(payloadBytes);
  payload.writeUInt8(flags, 9);
  const end = block + size / logBlockBytes;
  const cycleAt = (index: number): number => (index >= blockCount ? cycle + 1 : cycle);
  for (let at = headerBytes; at < size; at += logBlockBytes) {
    payload.writeUInt32BE(cycleAt(block + at / logBlockBytes), at - headerBytes);
  }
  for (let at = logBlockBytes; at < headerBytes; at += logBlockBytes) {
    header.writeUInt32BE(cycleAt(block + at / logBlockBytes), at);
  }
  blocks.forEach((content, index) =>
    content.writeUInt32BE(index + blockCount < end ? cycle + 1 : index < end ? cycle : cycle - 1),
  );
  const record = Buffer.concat([
    recordStartWith({ block, header, payload }, uuid),
    header.subarray(logBlockBytes),
    payload,
  ]);
  for (let at = 0; at < size; at += logBlockBytes) {
    record.copy(blocks[(block + at / logBlockBytes) % blockCount] ?? Buffer.alloc(0), 0, at, at + logBlockBytes);
  }
  return { blockCount, blocks, read: (index) => Promise.resolve(blocks[index] ?? Buffer.alloc(0)) };
}

for (const [headerBytes, payloadBytes] of [
  [512, 512],
  [512, 32_256],
  [1024, 64_512],
  [4096, 258_048],
] as const) {
  test(`xfs log: the last record is found wherever it ends, with ${payloadBytes} bytes of payload`, async (t) => {
    const blockCount = 600;
    const length = (headerBytes + payloadBytes) / logBlockBytes;
    for (const block of [0, 1, 255, blockCount - length, blockCount - length + 1, blockCount - 2, blockCount - 1]) {
      const log = logEndingWith(block, blockCount, [headerBytes, payloadBytes]);
      const found = await findUnmountRecord(log, uuid);
      t.is(found?.block, block);
      t.is(found?.payload.length, payloadBytes);
      const foreign = await findUnmountRecord(log, randomBytes(16));
      t.is(foreign, undefined, 'it is of another file system');
    }
  });
}

test('xfs log: a last record that is not an unmount is not taken for one', async (t) => {
  t.is(await findUnmountRecord(logEndingWith(10, 100, [512, 512], 0), uuid), undefined);
});

test('xfs log: an unmount that may not be the last record is not taken for it', async (t) => {
  const log = logEndingWith(10, 100, [512, 512]);
  log.blocks[12]?.writeUInt32BE(3);
  t.is(await findUnmountRecord(log, uuid), undefined);
});
