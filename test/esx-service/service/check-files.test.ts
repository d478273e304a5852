import { copyFile, mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import { refused, startLocal } from '../support/commands.ts';
import { fileOf, filesOf, loopsBelow, mebibyte, run, volumesOf } from '../support/place.ts';

test('check: a volume whose files vanish is degraded and named, and whole again when they return', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await mkdir(at.path('away'));
  const files = ['db.vmdk', 'db-flat.vmdk', 'db.vmdk.json'];
  await commands.create('db', { access: 'read-only', fstype: 'ext2' });
  await commands.create('good');
  const before = commands.get('db');
  for (const missing of [['db.vmdk'], ['db-flat.vmdk'], ['db.vmdk.json'], files]) {
    for (const file of missing) await rename(fileOf(ds, file), at.path('away', file));
    const [found = '', ...more] = await commands.check();
    t.deepEqual(more, []);
    t.regex(found, /^volume db@local cannot be used: .*(missing|gone from).*put (it|them) back/);
    t.true(found.includes(missing.length > 1 ? ds : `${volumesOf(ds)}/${missing[0]}`), `found: ${found}`);
    t.like(commands.get('db'), { access: 'read-only', fstype: 'ext2', sizeBytes: before.sizeBytes });
    await refused(t, commands.attach('db'), 'DamagedVolume', 'db@local', 'back');
    await refused(t, commands.create('db'), 'DamagedVolume', 'db@local', 'back');
    t.deepEqual(await commands.check(), [], 'what was told is not found again');
    for (const file of missing) await rename(at.path('away', file), fileOf(ds, file));
    t.deepEqual(await commands.check(), ['volume db@local can be used again']);
    t.deepEqual(commands.get('db'), before);
  }
  await t.notThrowsAsync(commands.attach('good'));
});

test('check: files that return as copies are taken, once they were seen gone', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await commands.create('db');
  await copyFile(fileOf(ds, 'db-flat.vmdk'), at.path('backup'));
  await unlink(fileOf(ds, 'db-flat.vmdk'));
  await commands.check();
  await copyFile(at.path('backup'), fileOf(ds, 'db-flat.vmdk'));
  t.deepEqual(await commands.check(), ['volume db@local can be used again']);
  await t.notThrowsAsync(commands.attach('db'));
});

test('check: an extent that was replaced stays refused until the former one is back; a cut one until it is whole', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await commands.create('swapped');
  await commands.create('cut');
  const extent = fileOf(ds, 'swapped-flat.vmdk');
  await rename(extent, at.path('former'));
  await copyFile(at.path('former'), extent);
  await run('truncate', '-s', '1M', fileOf(ds, 'cut-flat.vmdk'));
  const [cut, swapped, ...more] = await commands.check();
  t.deepEqual(more, []);
  t.regex(cut ?? '', /^volume cut@local cannot be used: its extent .*cut-flat.vmdk is 7340032 bytes shorter/);
  t.regex(swapped ?? '', /^volume swapped@local cannot be used: its extent .* was replaced by another file; put/);
  t.deepEqual(await commands.check(), []);
  t.regex(commands.get('swapped').problem ?? '', /was replaced/, 'a second look accepts it as little as the first');
  await rename(at.path('former'), extent);
  await run('truncate', '-s', '8M', fileOf(ds, 'cut-flat.vmdk'));
  t.deepEqual(await commands.check(), ['volume cut@local can be used again', 'volume swapped@local can be used again']);
});

test('check: an extent that got longer is no difference: the disk is as much as its descriptor says', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  await run('truncate', '-s', '9M', fileOf(ds, 'db-flat.vmdk'));
  t.deepEqual(await commands.check(), []);
  t.is((await commands.attach('db')).volume.sizeBytes, 8 * mebibyte);
});

test('check: an extent that vanishes while it is attached stays its holder’s, and what comes in its place is refused', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await commands.create('db');
  await copyFile(fileOf(ds, 'db-flat.vmdk'), at.path('backup'));
  await commands.attach('db');
  await unlink(fileOf(ds, 'db-flat.vmdk'));
  await commands.check();
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  await copyFile(at.path('backup'), fileOf(ds, 'db-flat.vmdk'));
  await commands.check();
  t.regex(commands.get('db').problem ?? '', /was replaced/);
  await refused(t, commands.attach('db', { vm: 'beta' }), 'DamagedVolume', 'db@local');
  await commands.detach('db', { isFormatted: true });
  t.is(commands.get('db').attached, undefined);
  t.is(await loopsBelow(at.folder), 0);
});

test('check: a disk that was copied in becomes a volume; a copied descriptor is refused beside its original', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await commands.create('db');
  const image = ['-q', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', fileOf(ds, 'foreign.vmdk'), '2M'];
  await run('qemu-img', 'create', ...image);
  t.deepEqual(await commands.check(), ['volume foreign@local appeared in its datastore and can be used from now on']);
  t.is(commands.get('foreign').sizeBytes, 2 * mebibyte);
  await commands.attach('foreign');
  await copyFile(fileOf(ds, 'db.vmdk'), fileOf(ds, 'second.vmdk'));
  const found = await commands.check();
  t.is(found.length, 2);
  t.regex(found[0] ?? '', /^volume db@local cannot be used: its extent is also the extent of volume second@local/);
  t.regex(found[1] ?? '', /^volume second@local appeared .* cannot be used: .* volume db@local/);
  await rename(fileOf(ds, 'second.vmdk'), at.path('second'));
  t.deepEqual(await commands.check(), [
    'volume db@local can be used again',
    `volume second@local still cannot be used: all its files are gone from ${ds}; put them back, or remove the volume`,
  ]);
});

test('check: a snapshot, or a metadata file that is broken, is a problem as long as it is there', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  await writeFile(fileOf(ds, 'db-000001.vmdk'), 'delta');
  t.regex((await commands.check()).join(), /^volume db@local cannot be used: it has the snapshot file db-000001/);
  await unlink(fileOf(ds, 'db-000001.vmdk'));
  t.deepEqual(await commands.check(), ['volume db@local can be used again']);
});

// ---- remove

test('remove: of a volume that cannot be used is refused, unless nothing is left of it at all', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  for (const file of ['db-flat.vmdk', 'db.vmdk.json']) await unlink(fileOf(ds, file));
  await commands.check();
  await refused(t, commands.remove('db'), 'DamagedVolume', 'db@local', 'is missing');
  t.deepEqual(await filesOf(ds), ['db.vmdk']);
  await unlink(fileOf(ds, 'db.vmdk'));
  await commands.check();
  await commands.remove('db');
  t.is(commands.record('db'), undefined);
  await t.notThrowsAsync(commands.create('db'));
});

test('remove: a volume without files whose disk is still attached is not forgotten', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  await commands.attach('db');
  for (const file of await filesOf(ds)) await unlink(fileOf(ds, file));
  await commands.check();
  await refused(t, commands.remove('db'), 'DamagedVolume', 'db@local', 'gone from');
  await commands.detach('db');
  await commands.remove('db');
  t.is(commands.record('db'), undefined);
});

test('check: a removal that was interrupted is finished, and a new volume of that name is left alone', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  const { service } = commands;
  const record = commands.record('db');
  await rename(fileOf(ds, 'db.vmdk'), fileOf(ds, 'db.vmdk.removed'));
  if (record) service.catalog.publishRemoval(record);
  t.deepEqual(await commands.check(), []);
  t.deepEqual(await filesOf(ds), []);
  await commands.create('db');
  await copyFile(fileOf(ds, 'db.vmdk'), fileOf(ds, 'db.vmdk.removed'));
  await commands.check();
  t.is((await filesOf(ds)).length, 4);
});

test('start: garbled metadata is a problem until it is mended, without a restart', async (t) => {
  const { ds, commands, restart } = await startLocal(t);
  await commands.create('db', { fstype: 'xfs', sizeBytes: 512 * mebibyte });
  const text = await readFile(fileOf(ds, 'db.vmdk.json'), 'utf8');
  await writeFile(fileOf(ds, 'db.vmdk.json'), '{"half":');
  const again = await restart();
  t.regex(again.get('db').problem ?? '', /metadata is not JSON/);
  await writeFile(fileOf(ds, 'db.vmdk.json'), text);
  t.deepEqual(await again.check(), ['volume db@local can be used again']);
  t.is(again.get('db').fstype, 'xfs');
});
