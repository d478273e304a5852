import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { startCommands, startLocal } from '../support/commands.ts';
import { allocated, fileOf, fill, mebibyte, place, run } from '../support/place.ts';

for (const fstype of ['xfs', 'ext4'] as const) {
  test(`clone: on ${fstype} it takes no space for holes, and has its source’s bytes and none of its identity`, async (t) => {
    const at = await place(t);
    const ds = await at.fileSystem(fstype, 320 * mebibyte);
    const commands = await startCommands(t, { datastores: { local: ds } });
    await commands.create('source', { sizeBytes: 64 * mebibyte, mountOptions: ['noatime'] });
    const bytes = randomBytes(mebibyte);
    await fill(fileOf(ds, 'source-flat.vmdk'), 32 * mebibyte, bytes);
    await commands.attach('source');
    await commands.detach('source', { isFormatted: true });
    const volume = await commands.clone('copy', 'source', { sizeBytes: 80 * mebibyte });
    t.like(volume, { sizeBytes: 80 * mebibyte, cloneFrom: 'source@local', fstype: 'ext4', mountOptions: ['noatime'] });
    t.like(commands.record('copy'), { isFormatted: true, isFreshClone: true });
    t.not(commands.record('copy')?.volume.uuid, commands.record('source')?.volume.uuid);
    const copied = await readFile(fileOf(ds, 'copy-flat.vmdk'));
    t.is(copied.length, 80 * mebibyte);
    t.true(copied.subarray(32 * mebibyte, 33 * mebibyte).equals(bytes));
    t.true(copied.subarray(33 * mebibyte).every((byte) => byte === 0));
    t.true((await allocated(fileOf(ds, 'copy-flat.vmdk'))) <= 2 * mebibyte);
    const extents = await run('filefrag', '-v', fileOf(ds, 'copy-flat.vmdk'));
    t.is(extents.includes('shared'), fstype === 'xfs', `extents: ${extents}`);
    await fill(fileOf(ds, 'copy-flat.vmdk'), 32 * mebibyte, Buffer.alloc(4096));
    t.true((await readFile(fileOf(ds, 'source-flat.vmdk'))).subarray(32 * mebibyte, 33 * mebibyte).equals(bytes));
    await t.notThrowsAsync(run('qemu-img', 'check', fileOf(ds, 'copy.vmdk')));
  });

  for (const diskformat of ['zeroedthick', 'eagerzeroedthick'] as const) {
    test(`clone: on ${fstype} a ${diskformat} one has all its blocks to itself`, async (t) => {
      const at = await place(t);
      const ds = await at.fileSystem(fstype, 320 * mebibyte);
      const commands = await startCommands(t, { datastores: { local: ds } });
      await commands.create('source', { sizeBytes: 16 * mebibyte });
      const bytes = randomBytes(mebibyte);
      await fill(fileOf(ds, 'source-flat.vmdk'), 8 * mebibyte, bytes);
      await commands.clone('copy', 'source', { diskformat, sizeBytes: 20 * mebibyte });
      const copy = fileOf(ds, 'copy-flat.vmdk');
      t.true((await allocated(copy)) >= 20 * mebibyte);
      t.false((await run('filefrag', '-v', copy)).includes('shared'));
      const copied = await readFile(copy);
      t.true(copied.subarray(8 * mebibyte, 9 * mebibyte).equals(bytes));
      t.true(copied.subarray(0, 8 * mebibyte).every((byte) => byte === 0));
      t.true(copied.subarray(9 * mebibyte).every((byte) => byte === 0));
    });
  }
}

test('clone: what lies behind the source’s end in its file does not come into view', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('source');
  await fill(fileOf(ds, 'source-flat.vmdk'), 8 * mebibyte, randomBytes(mebibyte));
  await commands.clone('copy', 'source', { sizeBytes: 10 * mebibyte });
  t.true((await readFile(fileOf(ds, 'copy-flat.vmdk'))).every((byte) => byte === 0));
});

test('clone: between two datastores the bytes are copied', async (t) => {
  const at = await place(t);
  const xfs = await at.fileSystem('xfs', 320 * mebibyte);
  const commands = await startCommands(t, { datastores: { local: at.path('ds'), fast: xfs } });
  await commands.create('source@fast', { sizeBytes: 4 * mebibyte });
  const bytes = randomBytes(4 * mebibyte);
  await fill(fileOf(xfs, 'source-flat.vmdk'), 0, bytes);
  t.is((await commands.clone('copy', 'source@FAST')).cloneFrom, 'source@fast');
  t.true((await readFile(fileOf(at.path('ds'), 'copy-flat.vmdk'))).equals(bytes));
});
