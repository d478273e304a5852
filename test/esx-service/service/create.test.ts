import test from 'ava';
import { type Commands, refused, startCommands, startLocal } from '../support/commands.ts';
import { filesOf, mebibyte, place } from '../support/place.ts';

test('create: the same key again is the same create, whatever else it says', async (t) => {
  const { commands } = await startLocal(t);
  const first = await commands.create('db', {}, { key: 'k' });
  t.deepEqual(await commands.create('db', { sizeBytes: 4 * mebibyte }, { key: 'k' }), first);
});

test('create: the same options again succeed, with another key and after a restart too', async (t) => {
  const { commands, restart } = await startLocal(t);
  const options = { mountOptions: ['noatime', 'nodev'], root: { uid: 5, mode: 0o700 } } as const;
  const first = await commands.create('db', { ...options, mountOptions: [...options.mountOptions] });
  const again = await restart();
  t.deepEqual(await again.create('db', { root: options.root, mountOptions: ['nodev', 'noatime'] }), first);
});

for (const [option, args, mentions] of [
  ['size', { sizeBytes: 16 * mebibyte }, ['size 8MB, not 16MB']],
  ['a size that reads alike', { sizeBytes: 8 * mebibyte + 512 }, ['8388608, not 8389120']],
  ['fstype', { fstype: 'ext2' }, ['fstype ext4, not ext2']],
  ['diskformat', { diskformat: 'zeroedthick' }, ['diskformat thin, not zeroedthick']],
  ['access', { access: 'read-only' }, ['access read-write, not read-only']],
  ['attach-as', { attachAs: 'persistent' }, ['attach-as independent_persistent, not persistent']],
  ['mount-options', { mountOptions: ['sync'] }, ['mount-options none, not sync']],
  ['uid', { root: { uid: 7 } }, ['uid none, not 7']],
  ['mode', { root: { mode: 0o750 } }, ['mode none, not 750']],
  ['two options', { access: 'read-only', fstype: 'ext2' }, ['fstype', 'access']],
] as const) {
  test(`create: an existing volume with another ${option} is a conflict that names both`, async (t) => {
    const { commands } = await startLocal(t);
    await commands.create('db');
    const given = { ...args, ...('mountOptions' in args ? { mountOptions: [...args.mountOptions] } : {}) };
    await refused(
      t,
      commands.create('db', given as Parameters<Commands['create']>[1]),
      'VolumeExists',
      'db@local',
      ...mentions,
    );
    t.is(commands.service.locks.size, 0);
  });
}

for (const [what, args, mentions] of [
  ['too small a size', { sizeBytes: 512 }, ['512', '1mb to 62tb']],
  ['too large a size', { sizeBytes: 2 ** 50 }, ['1mb to 62tb']],
  ['half a sector', { sizeBytes: 8 * mebibyte + 100 }, ['whole sectors']],
  ['no size', { sizeBytes: undefined }, ['size or fstype is missing']],
  ['a disk too small for its file system', { fstype: 'xfs' }, ['8MB', 'xfs', '300MB']],
  ['a file system for a clone', { cloneFrom: 'other' }, ['fstype', 'clone-from']],
] as const) {
  test(`create: ${what} is refused before anything is made`, async (t) => {
    const { commands, ds } = await startLocal(t);
    await refused(t, commands.create('db', args), 'InvalidOption', ...mentions);
    t.deepEqual(await filesOf(ds), []);
  });
}

test('create: twenty at once of one name make one volume', async (t) => {
  const { commands, ds } = await startLocal(t);
  const volumes = await Promise.all(Array.from({ length: 20 }, () => commands.create('db')));
  t.is(new Set(volumes.map((volume) => volume.createdAt)).size, 1);
  t.is((await filesOf(ds)).length, 3);
  t.is(commands.service.catalog.view.sequence, 1);
  t.is(commands.service.locks.size, 0);
});

test('create: two hundred at once of different names all succeed', async (t) => {
  const { commands, ds } = await startLocal(t);
  await Promise.all(Array.from({ length: 200 }, (_, number) => commands.create(`v${number}`)));
  t.is(commands.service.catalog.view.records.length, 200);
  t.is((await filesOf(ds)).length, 600);
});

test('create: a volume is on the disk before anybody is told of it', async (t) => {
  const { commands, ds } = await startLocal(t);
  const { promise, resolve } = Promise.withResolvers<string[]>();
  commands.service.catalog.watch(() => resolve(filesOf(ds)));
  await commands.create('db');
  t.true((await promise).includes('db.vmdk'));
});

test('names: a datastore is found whatever its case, and one that is not known is named with those that are', async (t) => {
  const at = await place(t);
  const commands = await startCommands(t, { datastores: { Local: at.path('a'), other: at.path('b') } });
  const volume = await commands.create('db@LOCAL');
  t.like(volume, { datastore: 'Local', isNamedInFull: true });
  t.like(commands.get('db'), { name: 'db' });
  t.is((await commands.create('db@other')).datastore, 'other');
  await refused(t, commands.attach('db@nowhere'), 'DatastoreNotFound', 'nowhere', 'Local, other', 'default Local');
  await refused(t, commands.create('a/b'), 'InvalidName', 'a/b');
  await refused(t, commands.attach('none'), 'VolumeNotFound', 'none@Local');
});
