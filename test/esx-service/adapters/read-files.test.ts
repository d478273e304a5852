import { randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, open, readFile, rename, symlink, unlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import { refused, startCommands, startLocal } from '../support/commands.ts';
import { fileOf, filesOf, fill, mebibyte, place, run } from '../support/place.ts';

test('create: a disk made by qemu-img is a volume, and its bytes are what the VM reads', async (t) => {
  const { ds, commands } = await startLocal(t);
  await run(
    'qemu-img',
    'create',
    '-q',
    '-f',
    'vmdk',
    '-o',
    'subformat=monolithicFlat',
    fileOf(ds, 'made by qemu.vmdk'),
    '4M',
  );
  const bytes = randomBytes(4096);
  await fill(fileOf(ds, 'made by qemu-flat.vmdk'), mebibyte, bytes);
  await commands.end();
  const again = await startCommands(t, { datastores: { local: ds } });
  const volume = again.get('made by qemu');
  t.like(volume, { sizeBytes: 4 * mebibyte, isNamedInFull: true, createdBy: 'unknown', problem: undefined });
  t.is(volume.fstype, undefined);
  const { device } = await again.attach('made by qemu');
  await using disk = await open(device.kind === 'loop' ? device.path : '');
  const read = await disk.read(Buffer.alloc(4096), 0, 4096, mebibyte);
  t.true(read.buffer.equals(bytes));
});

test('create: a disk that begins inside of its file is attached from there', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  const text = await readFile(fileOf(ds, 'db.vmdk'), 'utf8');
  await writeFile(fileOf(ds, 'db.vmdk'), text.replace(/RW (\d+) VMFS (".*")/, 'RW 2048 FLAT $2 63'));
  const bytes = randomBytes(512);
  await fill(fileOf(ds, 'db-flat.vmdk'), 63 * 512, bytes);
  await commands.end();
  const again = await startCommands(t, { datastores: { local: ds } });
  const { device } = await again.attach('db');
  {
    await using disk = await open(device.kind === 'loop' ? device.path : '');
    t.true((await disk.read(Buffer.alloc(512), 0, 512, 0)).buffer.equals(bytes));
  }
  await again.detach('db');
  await refused(t, again.clone('copy', 'db'), 'NotSupported', 'db@local', 'inside of its file');
});

test('start: damaged volumes are listed with their problem, refused for any change, and nothing of them is touched', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  for (const name of ['sparse', 'garbled', 'lost', 'short', 'linked', 'newer', 'snapshot', 'away', 'moved', 'good'])
    await commands.create(name);
  await commands.end();
  await run('qemu-img', 'create', '-q', '-f', 'vmdk', fileOf(ds, 'sparse.vmdk'), '4M');
  await writeFile(fileOf(ds, 'garbled.vmdk.json'), '{"half":');
  await unlink(fileOf(ds, 'lost-flat.vmdk'));
  await run('truncate', '-s', '1M', fileOf(ds, 'short-flat.vmdk'));
  await rename(fileOf(ds, 'linked-flat.vmdk'), at.path('elsewhere'));
  await symlink(at.path('elsewhere'), fileOf(ds, 'linked-flat.vmdk'));
  const newer = await readFile(fileOf(ds, 'newer.vmdk.json'), 'utf8');
  await writeFile(fileOf(ds, 'newer.vmdk.json'), newer.replace('"formatVersion": 1', '"formatVersion": 9'));
  await writeFile(fileOf(ds, 'snapshot-000001.vmdk'), 'delta');
  const away = await readFile(fileOf(ds, 'away.vmdk'), 'utf8');
  await writeFile(fileOf(ds, 'away.vmdk'), away.replace('away-flat', '../../../elsewhere'));
  await rename(fileOf(ds, 'moved.vmdk'), at.path('moved.vmdk'));
  await symlink(at.path('moved.vmdk'), fileOf(ds, 'moved.vmdk'));
  const before = await filesOf(ds);
  const again = await startCommands(t, { datastores: { local: ds } });
  for (const [name, mention] of [
    ['sparse', 'sparse VMDK'],
    ['garbled', 'its metadata is not JSON'],
    ['lost', 'is missing'],
    ['short', '7340032 bytes shorter'],
    ['linked', 'not a plain file'],
    ['newer', 'newer vmdkopsd'],
    ['snapshot', 'snapshot-000001.vmdk'],
    ['away', 'own folder'],
    ['moved', 'its descriptor is a symbolic link'],
  ] as const) {
    t.true(again.get(name).problem?.includes(mention), `${name}: ${again.get(name).problem}`);
    await refused(t, again.attach(name), 'DamagedVolume', `${name}@local`, mention);
    await refused(t, again.remove(name), 'DamagedVolume', `${name}@local`, mention);
    await refused(t, again.create(name), 'DamagedVolume', `${name}@local`, mention);
    await refused(t, again.clone('copy', name), 'DamagedVolume', `${name}@local`, mention);
  }
  t.is(again.get('good').problem, undefined);
  t.deepEqual(await filesOf(ds), before);
  t.is(await readFile(fileOf(ds, 'garbled.vmdk.json'), 'utf8'), '{"half":');
});

test('start: two descriptors of one extent, by name or by hard link, are both refused', async (t) => {
  const { ds, commands } = await startLocal(t);
  for (const name of ['one', 'three']) await commands.create(name);
  await commands.end();
  await copyFile(fileOf(ds, 'one.vmdk'), fileOf(ds, 'two.vmdk'));
  const third = await readFile(fileOf(ds, 'three.vmdk'), 'utf8');
  await writeFile(fileOf(ds, 'four.vmdk'), third.replace('three-flat', 'four-flat'));
  await link(fileOf(ds, 'three-flat.vmdk'), fileOf(ds, 'four-flat.vmdk'));
  const again = await startCommands(t, { datastores: { local: ds } });
  for (const [name, twin] of [
    ['one', 'two'],
    ['two', 'one'],
    ['three', 'four'],
    ['four', 'three'],
  ] as const) {
    await refused(t, again.remove(name), 'DamagedVolume', `${twin}@local`);
  }
});

test('attach: an extent that was replaced or cut while the service ran is refused', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('swapped');
  await commands.create('cut');
  await copyFile(fileOf(ds, 'swapped-flat.vmdk'), fileOf(ds, 'new'));
  await rename(fileOf(ds, 'new'), fileOf(ds, 'swapped-flat.vmdk'));
  await run('truncate', '-s', '1M', fileOf(ds, 'cut-flat.vmdk'));
  await refused(t, commands.attach('swapped'), 'DamagedVolume', 'swapped@local', 'replaced');
  await refused(t, commands.attach('cut'), 'DamagedVolume', 'cut@local', 'shorter');
  t.is(commands.get('cut').attached, undefined);
});

test('start: a folder in use by another service is refused, and free again after that one has gone', async (t) => {
  const { ds, commands } = await startLocal(t);
  await refused(t, startCommands(t, { datastores: { other: ds } }), 'Busy', ds, 'in use', `process ${process.pid}`);
  await commands.end();
  await t.notThrowsAsync(startCommands(t, { datastores: { other: ds } }));
});

test('start: the lock of a service that was killed does not stay', async (t) => {
  const at = await place(t);
  await mkdir(at.path('ds', 'dockvols'), { recursive: true });
  const script = `import { lockFolder } from ${JSON.stringify(`${import.meta.dirname}/../../../esx-service/adapters/folder-lock.ts`)};
    await lockFolder(${JSON.stringify(at.path('ds', 'dockvols', '.vmdkopsd.lock'))}, 'x'); process.kill(process.pid, 'SIGKILL');`;
  await t.throwsAsync(run(process.execPath, '--input-type=module', '-e', script), { message: /Command failed/ });
  await t.notThrowsAsync(startCommands(t, { datastores: { local: at.path('ds') } }));
});

test('start: a folder that cannot be used ends it with the key, the value and the reason', async (t) => {
  const at = await place(t);
  await writeFile(at.path('file'), '');
  await refused(
    t,
    startCommands(t, { datastores: { local: at.path('file') } }),
    'InvalidRequest',
    'datastores.local',
    at.path('file'),
    'ENOTDIR',
  );
});
