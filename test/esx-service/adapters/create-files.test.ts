import { open, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import { diskformats } from '../../../common/volume-options.ts';
import { changed, refused, startCommands, startLocal } from '../support/commands.ts';
import { allocated, fileOf, filesOf, mebibyte, place, run, volumesOf } from '../support/place.ts';

for (const diskformat of diskformats) {
  test(`create: a ${diskformat} disk is one that qemu-img reads, checks and finds empty`, async (t) => {
    const { at, ds, commands } = await startLocal(t);
    await commands.create('my disk', { diskformat });
    t.deepEqual(await filesOf(ds), ['my disk-flat.vmdk', 'my disk.vmdk', 'my disk.vmdk.json']);
    const path = fileOf(ds, 'my disk.vmdk');
    const info = JSON.parse(await run('qemu-img', 'info', '--output=json', path)) as Record<string, unknown>;
    t.is(info['format'], 'vmdk');
    t.is(info['virtual-size'], 8 * mebibyte);
    await t.notThrowsAsync(run('qemu-img', 'check', path));
    const blank = at.path('blank.raw');
    await (await open(blank, 'wx')).close();
    await run('truncate', '-s', String(8 * mebibyte), blank);
    t.regex(await run('qemu-img', 'compare', path, blank), /Images are identical/);
    t.is((await allocated(fileOf(ds, 'my disk-flat.vmdk'))) >= 8 * mebibyte, diskformat !== 'thin');
    t.is((await stat(fileOf(ds, 'my disk-flat.vmdk'))).mode & 0o777, 0o600);
  });
}

for (const file of ['db-flat.vmdk', 'db.vmdk', 'db.vmdk.json']) {
  test(`create: a file ${file} of somebody else is never overwritten, and nothing is left of the attempt`, async (t) => {
    const { ds, commands } = await startLocal(t);
    await writeFile(fileOf(ds, file), 'precious');
    await refused(t, commands.create('db'), 'VolumeExists', 'db@local', file);
    t.is(await readFile(fileOf(ds, file), 'utf8'), 'precious');
    t.deepEqual(await filesOf(ds), [file]);
    t.is(commands.record('db'), undefined);
  });
}

for (const diskformat of ['zeroedthick', 'eagerzeroedthick'] as const) {
  test(`create: a ${diskformat} disk for which there is no space says so and leaves nothing`, async (t) => {
    const at = await place(t);
    const ds = await at.fileSystem('tmpfs', 8 * mebibyte);
    const commands = await startCommands(t, { datastores: { small: ds } });
    await refused(t, commands.create('db', { diskformat, sizeBytes: 32 * mebibyte }), 'NoSpace', 'small', 'db', '32MB');
    t.deepEqual(await filesOf(ds), []);
    t.is(commands.service.locks.size, 0);
    await t.notThrowsAsync(commands.create('db', { diskformat, sizeBytes: 2 * mebibyte }));
  });
}

test('create: when not even the small files fit, nothing is left either', async (t) => {
  const at = await place(t);
  const ds = await at.fileSystem('tmpfs', 64 * 1024);
  const commands = await startCommands(t, { datastores: { small: ds } });
  await writeFile(`${ds}/filler`, Buffer.alloc(1)).catch(() => undefined);
  await run('sh', '-c', `cat /dev/zero > ${ds}/filler || true`);
  await refused(t, commands.create('db'), 'NoSpace', 'small', 'db');
  t.deepEqual(await filesOf(ds), []);
});

test('create: an eagerly zeroed disk that is given up half way leaves nothing, and frees its name', async (t) => {
  const at = await place(t);
  const ds = at.path('ds');
  const giveUp = new AbortController();
  const commands = await startCommands(t, {
    datastores: { local: ds },
    wrap: (datastore) =>
      changed(datastore, {
        create: (disk, signal) =>
          datastore.create({ ...disk, onProgress: () => giveUp.abort(new Error('enough')) }, signal),
      }),
  });
  const work = commands.create(
    'db',
    { diskformat: 'eagerzeroedthick', sizeBytes: 64 * mebibyte },
    { signal: giveUp.signal },
  );
  await t.throwsAsync(work, { message: 'enough' });
  t.deepEqual(await filesOf(ds), []);
  t.is(commands.service.locks.size, 0);
  await t.notThrowsAsync(commands.create('db'));
});

test('create: long work tells the log how far it is, every five seconds', async (t) => {
  const at = await place(t);
  const lines: unknown[] = [];
  let nowMs = 0;
  const logger = {
    error: fail,
    warn: fail,
    debug: fail,
    info: (message: string, fields?: object) => void lines.push({ message, ...fields }),
    child: () => logger,
  };
  const commands = await startCommands(t, {
    datastores: { local: at.path('ds') },
    logger,
    // Each look at the clock is two seconds later.
    now: () => new Date((nowMs += 2_000)),
  });
  await commands.create('db', { diskformat: 'eagerzeroedthick', sizeBytes: 64 * mebibyte });
  t.deepEqual(lines, [{ message: 'writing zeros', volume: 'db@local', done: '48MB', total: '64MB' }]);
});

test('remove: all files go, and the name is free again', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  await commands.remove('db');
  t.deepEqual(await filesOf(ds), []);
  t.is(commands.record('db'), undefined);
  await t.notThrowsAsync(commands.create('db', { sizeBytes: 2 * mebibyte }));
});

test('remove: a volume whose descriptor somebody took away is gone, and its data is left to them', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  await unlink(fileOf(ds, 'db.vmdk'));
  await commands.remove('db');
  t.is(commands.record('db'), undefined);
  t.deepEqual(await filesOf(ds), ['db-flat.vmdk', 'db.vmdk.json']);
});

test('create: a folder that takes no files is reported, and the volume can be created once it does', async (t) => {
  const { ds, commands } = await startLocal(t);
  await run('chattr', '+i', volumesOf(ds));
  t.teardown(() => run('chattr', '-i', volumesOf(ds)));
  await refused(t, commands.create('db'), 'HostUnavailable', 'local', ds, 'EPERM');
  await run('chattr', '-i', volumesOf(ds));
  t.deepEqual(await filesOf(ds), []);
  t.is(commands.service.locks.size, 0);
  await t.notThrowsAsync(commands.create('db'));
});

function fail(message: string): void {
  throw new Error(`not expected in the log: ${message}`);
}
