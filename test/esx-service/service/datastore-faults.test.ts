/**
 * Datastores on real file systems that are full, read-only, broken, slow or gone. What the device mapper's error and delay
 * targets would do is done by file systems' own means, since not every kernel has it: a shutdown (every call fails with
 * EIO), a disk below that is full (EIO at the flush), and a freeze (changes wait).
 */
import { copyFile, mkdir, rename, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { fullNameOf } from '../../../esx-service/core/volume-record.ts';
import { writeLock } from '../../../esx-service/service/service.ts';
import { until } from '../../native/channel/support/waiting.ts';
import { type Commands, never, refused, startCommands, startLocal } from '../support/commands.ts';
import { allocated, fileOf, filesOf, loopsBelow, mebibyte, place, run } from '../support/place.ts';

const size = 64 * mebibyte;

async function fillUp(folder: string): Promise<void> {
  await run('sh', '-c', `cat /dev/zero > ${folder}/filler 2>/dev/null || true; sync -f ${folder}`);
}

async function reads(t: ExecutionContext, commands: Commands, name: string): Promise<void> {
  t.is(commands.get(name).name, name);
  await commands.create('elsewhere@spare');
  await commands.remove('elsewhere@spare');
}

/** Datastore `local` on a file system of its own, and `spare` beside it. */
async function startOn(
  t: ExecutionContext,
  fstype: 'ext4' | 'xfs' | 'tmpfs',
): Promise<{ commands: Commands; ds: string; folder: string }> {
  const at = await place(t);
  const ds = await at.fileSystem(fstype, fstype === 'xfs' ? 320 * mebibyte : size);
  const commands = await startCommands(t, { datastores: { local: ds, spare: at.path('spare') } });
  return { commands, ds, folder: at.folder };
}

// ---- full

for (const fstype of ['ext4', 'xfs'] as const) {
  test(`datastore: a full ${fstype} refuses creates and clones by name, and all is as before once there is space`, async (t) => {
    const { commands, ds } = await startOn(t, fstype);
    await commands.create('db', { sizeBytes: 16 * mebibyte });
    await writeFile(fileOf(ds, 'db-flat.vmdk'), Buffer.alloc(16 * mebibyte, 7), { flag: 'r+' });
    await fillUp(ds);
    const before = await filesOf(ds);
    const thick = { diskformat: 'zeroedthick' } as const;
    await refused(t, commands.create('new', thick), 'NoSpace', 'new', 'datastore local', ds);
    await refused(t, commands.clone('copy', 'db', thick), 'NoSpace', 'copy', 'datastore local', ds);
    t.deepEqual(await filesOf(ds), before);
    t.deepEqual(await commands.check(), []);
    await reads(t, commands, 'db');
    await run('rm', `${ds}/filler`);
    await commands.clone('copy', 'db', thick);
    t.true((await allocated(fileOf(ds, 'copy-flat.vmdk'))) >= 16 * mebibyte);
  });
}

test('detach: what the guest tells is not lost to a full datastore: the disk stays attached until it is written down', async (t) => {
  const { commands, ds, folder } = await startOn(t, 'tmpfs');
  await commands.create('db');
  await commands.create('known');
  await commands.attach('known');
  await commands.detach('known', { isFormatted: true });
  for (const name of ['db', 'known']) await commands.attach(name);
  await fillUp(ds);
  const before = await filesOf(ds);
  await refused(
    t,
    commands.detach('db', { isFormatted: true, fstype: 'ext2' }),
    'NoSpace',
    'db',
    'datastore local',
    ds,
  );
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  t.false(commands.record('db')?.isFormatted);
  await t.notThrowsAsync(commands.detach('known', { isFormatted: true }), 'nothing is new of this one');
  t.deepEqual(await filesOf(ds), before);
  await run('rm', `${ds}/filler`);
  await commands.detach('db', { isFormatted: true, fstype: 'ext2' });
  t.true(commands.record('db')?.isFormatted);
  t.is(await loopsBelow(folder), 0);
});

// ---- read-only

for (const fstype of ['ext4', 'xfs'] as const) {
  test(`datastore: a read-only ${fstype} refuses changes by name, and goes on when it is writable`, async (t) => {
    const { commands, ds } = await startOn(t, fstype);
    for (const name of ['db', 'old']) await commands.create(name);
    const before = await filesOf(ds);
    // Over it, since the service has a file open for writing there.
    await run('mount', '--bind', ds, ds);
    let isOver = true;
    const uncover = async (): Promise<void> => {
      if (isOver) await run('umount', ds);
      isOver = false;
    };
    t.teardown(uncover);
    await run('mount', '-o', 'remount,bind,ro', ds);
    const told = ['datastore local', ds, 'read-only'];
    await refused(t, commands.create('new'), 'HostUnavailable', 'new', ...told);
    await refused(t, commands.clone('copy', 'db'), 'HostUnavailable', 'copy', ...told);
    await refused(t, commands.remove('old'), 'HostUnavailable', 'old', ...told);
    await refused(t, commands.attach('db'), 'HostUnavailable', 'db', fileOf(ds, 'db-flat.vmdk'), 'read-only');
    await reads(t, commands, 'db');
    t.deepEqual(await commands.check(), []);
    await uncover();
    t.deepEqual(await filesOf(ds), before);
    await commands.remove('old');
    await commands.create('new');
    await t.notThrowsAsync(commands.attach('db'));
  });
}

test('detach: what the guest tells is not lost to a file system that went read-only by itself; what is not news is let go', async (t) => {
  const { commands, ds } = await startOn(t, 'ext4');
  for (const name of ['db', 'known']) {
    await commands.create(name);
    await commands.attach(name);
  }
  await commands.detach('known', { isFormatted: true });
  await commands.attach('known');
  // As it does when it finds itself damaged.
  await run('mount', '-o', 'remount,abort', ds);
  await refused(t, commands.detach('db', { isFormatted: true }), 'HostUnavailable', 'db', 'datastore local', ds);
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  await commands.detach('known', { isFormatted: true });
  t.is(commands.get('known').attached, undefined);
  t.deepEqual(await commands.check(), []);
});

// ---- gone

test('datastore: a folder that disappears degrades its volumes, told once, and they come back with it', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  for (const name of ['one', 'two', 'held']) await commands.create(name);
  await commands.attach('held');
  const before = commands.service.catalog.view.records.map(({ volume }) => volume);
  await rename(ds, at.path('away'));
  const [found = '', ...more] = await commands.check();
  t.deepEqual(more, []);
  t.regex(found, /^datastore local \(.*\) cannot be read: ENOENT.*; its 3 volumes cannot be used until then$/);
  t.true(found.includes(ds));
  for (const work of [commands.create('new'), commands.clone('copy', 'one'), commands.attach('one')]) {
    const fault = await t.throwsAsync(work);
    t.true(fault.message.includes(`datastore local (${ds})`), `said: ${fault.message}`);
  }
  await refused(t, commands.remove('one'), 'HostUnavailable', 'datastore local', ds);
  t.deepEqual(
    commands.service.catalog.view.records.map(({ volume }) => volume.createdAt),
    before.map(({ createdAt }) => createdAt),
  );
  const { sequence } = commands.service.catalog.view;
  const again = await commands.service.locks.hold(
    [writeLock(fullNameOf(commands.record('one') ?? (undefined as never)))],
    { signal: never, what: 'test' },
    commands.check,
  );
  t.is(again.length, 1, 'no volume is looked at again while it lasts');
  t.is(commands.service.catalog.view.sequence, sequence);
  await mkdir(ds);
  t.is((await commands.check()).length, 1, 'an empty folder in its place is not taken for it');
  await run('rmdir', ds);
  await rename(at.path('away'), ds);
  t.deepEqual(await commands.check(), [`datastore local (${ds}) is back, and 3 of its volumes can be used again`]);
  t.deepEqual(
    commands.service.catalog.view.records.map(({ volume }) => volume),
    before,
  );
  await commands.detach('held');
  await commands.create('new');
});

test('detach: of a volume whose datastore is gone lets its disk go', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await commands.create('db');
  await commands.attach('db');
  await rename(ds, at.path('away'));
  await commands.check();
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  await commands.detach('db', { isFormatted: true });
  t.is(commands.get('db').attached, undefined);
  t.is(await loopsBelow(at.folder), 0);
  await rename(at.path('away'), ds);
  await commands.check();
  t.false(commands.record('db')?.isFormatted, 'the guest will look at the disk');
  await t.notThrowsAsync(commands.attach('db'));
});

for (const fstype of ['ext4', 'xfs'] as const) {
  test(`datastore: an ${fstype} that fails with EIO is let go, can be unmounted and mounted anew, and is used again`, async (t) => {
    const at = await place(t);
    const [ds, image] = [at.path('ds'), at.path('image')];
    await mkdir(ds);
    await run('truncate', '-s', `${fstype === 'xfs' ? 320 : 64}M`, image);
    await run(`mkfs.${fstype}`, '-q', image);
    await run('mount', '-o', 'loop', image, ds);
    t.teardown(() => run('umount', ds));
    const commands = await startCommands(t, { datastores: { local: ds, spare: at.path('spare') } });
    for (const name of ['one', 'two']) await commands.create(name);
    await run('xfs_io', '-x', '-c', 'shutdown', ds);
    await refused(t, commands.create('new'), 'HostUnavailable', 'new', 'datastore local', ds);
    await reads(t, commands, 'one');
    const found = await commands.check();
    t.is(found.length, 1, `found: ${found.join()}`);
    t.regex(found[0] ?? '', /^datastore local \(.*\) cannot be read: EIO.*; its 2 volumes cannot be used until then/);
    await refused(t, commands.attach('one'), 'DamagedVolume', 'one@local', ds);
    await run('umount', ds);
    t.is((await commands.check()).length, 1);
    // Another disk with the same content: a mount namespace that others made meanwhile would keep the first one in use.
    await copyFile(image, `${image}-2`);
    await run('mount', '-o', fstype === 'xfs' ? 'loop,nouuid' : 'loop', `${image}-2`, ds);
    t.deepEqual(await commands.check(), [`datastore local (${ds}) is back, and 2 of its volumes can be used again`]);
    await commands.create('new');
    t.true((await filesOf(ds)).every((file) => !file.endsWith('.tmp')));
    await refused(t, startCommands(t, { datastores: { other: ds } }), 'Busy', ds, 'in use');
    await commands.end();
  });
}

test('datastore: another file system at its path is used under a lock of its own, and its volumes by their new identity', async (t) => {
  const at = await place(t);
  const ds = at.path('ds');
  await mkdir(ds);
  const commands = await startCommands(t, { datastores: { local: ds } });
  await commands.create('db');
  await mkdir(at.path('copy'));
  await run('cp', '-a', `${ds}/dockvols`, at.path('copy'));
  await run('mount', '--bind', at.path('copy'), ds);
  try {
    t.deepEqual(await commands.check(), []);
    await refused(t, startCommands(t, { datastores: { other: at.path('copy') } }), 'Busy', 'in use');
    await commands.attach('db');
    await commands.detach('db');
  } finally {
    await run('umount', '-l', ds);
  }
  t.deepEqual(await commands.check(), []);
  await t.notThrowsAsync(commands.attach('db'));
});

// ---- EIO once

test('datastore: EIO once, from a disk that lost its end for a while, is told, and nothing half-made is left of it', async (t) => {
  const at = await place(t);
  const [ds, image] = [at.path('ds'), at.path('image')];
  await mkdir(ds);
  await run('truncate', '-s', '64M', image);
  await run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image);
  const loop = (await run('losetup', '-f', '--show', image)).trim();
  t.teardown(() => run('losetup', '-d', loop));
  await run('mount', loop, ds);
  t.teardown(() => run('umount', ds));
  const commands = await startCommands(t, { datastores: { local: ds, spare: at.path('spare') } });
  await commands.create('db');
  await run('sync', '-f', ds);
  const resize = async (bytes: string): Promise<void> => {
    await run('truncate', '-s', bytes, image);
    await run('losetup', '-c', loop);
  };
  await resize('52M');
  const eager = { diskformat: 'eagerzeroedthick', sizeBytes: 44 * mebibyte } as const;
  await refused(t, commands.create('new', eager), 'HostUnavailable', 'volume new', 'datastore local', ds, 'EIO');
  await reads(t, commands, 'db');
  await resize('64M');
  t.deepEqual(await commands.check(), []);
  t.deepEqual(
    (await filesOf(ds)).filter((file) => !file.startsWith('db')),
    [],
  );
  await t.notThrowsAsync(commands.create('new', eager));
  await t.notThrowsAsync(commands.attach('db'));
  await commands.detach('db');
  await commands.end();
});

// ---- slow

test('datastore: one that is frozen holds up its own changes only: readers, another datastore and the check go on', async (t) => {
  const { commands, ds } = await startOn(t, 'ext4');
  await commands.create('db');
  await run('fsfreeze', '-f', ds);
  let isFrozen = true;
  const thaw = async (): Promise<void> => {
    if (isFrozen) await run('fsfreeze', '-u', ds);
    isFrozen = false;
  };
  t.teardown(thaw);
  const created = commands.create('new');
  await until(() => commands.service.locks.size > 0);
  await reads(t, commands, 'db');
  t.deepEqual(await commands.check(), []);
  t.is(commands.record('new'), undefined);
  await thaw();
  await created;
  t.deepEqual(await commands.check(), []);
});
