import { randomUUID } from 'node:crypto';
import { copyFile, link, open, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { attachLoop, detachLoop } from '../../../native/loop-devices.ts';
import { type Commands, startCommands } from '../support/commands.ts';
import { filesOf, mebibyte, place, volumesOf } from '../support/place.ts';

interface Crashed {
  readonly ds: string;
  readonly file: (name: string) => string;
  readonly restart: () => Promise<Commands>;
}

/** A datastore with the volume `db` and whatever else the crash left. */
async function crashed(t: ExecutionContext, options: Parameters<Commands['create']>[1] = {}): Promise<Crashed> {
  const ds = (await place(t)).path('ds');
  const commands = await startCommands(t, { datastores: { local: ds } });
  await commands.create('keep');
  await commands.create('db', options);
  await commands.end();
  return {
    ds,
    file: (name) => `${volumesOf(ds)}/${name}`,
    restart: () => startCommands(t, { datastores: { local: ds } }),
  };
}

const kept = ['keep-flat.vmdk', 'keep.vmdk', 'keep.vmdk.json'];
const aside = (): string => `.${randomUUID()}.tmp`;

async function writeTo(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(Buffer.alloc(4096, 1), 0, 4096, mebibyte);
  await file.sync();
}

test('sweep: what a create wrote aside goes', async (t) => {
  const { ds, file, restart } = await crashed(t);
  for (let count = 0; count < 3; count += 1) await writeFile(file(aside()), 'half');
  const commands = await restart();
  t.deepEqual(await filesOf(ds), [...['db-flat.vmdk', 'db.vmdk', 'db.vmdk.json'], ...kept]);
  t.deepEqual(commands.leftovers, []);
});

for (const diskformat of ['thin', 'eagerzeroedthick'] as const) {
  test(`sweep: a ${diskformat} create that had not come to its descriptor is undone, data or not`, async (t) => {
    const { ds, file, restart } = await crashed(t, { diskformat });
    await unlink(file('db.vmdk'));
    await link(file('db-flat.vmdk'), file(aside()));
    await link(file('db.vmdk.json'), file(aside()));
    const commands = await restart();
    t.deepEqual(await filesOf(ds), kept);
    t.deepEqual(commands.leftovers, []);
    await t.notThrowsAsync(commands.create('db'));
  });
}

test('sweep: a create that died between its descriptor and its clean-up is whole', async (t) => {
  const { ds, file, restart } = await crashed(t);
  for (const name of ['db.vmdk', 'db-flat.vmdk', 'db.vmdk.json']) await link(file(name), file(aside()));
  const commands = await restart();
  t.is(commands.get('db').problem, undefined);
  t.deepEqual(await filesOf(ds), ['db-flat.vmdk', 'db.vmdk', 'db.vmdk.json', ...kept]);
});

test('sweep: a disk without descriptor to which nothing was ever written goes', async (t) => {
  const { ds, file, restart } = await crashed(t);
  await unlink(file('db.vmdk'));
  await restart();
  t.deepEqual(await filesOf(ds), kept);
});

test('sweep: a disk without descriptor that has data stays, is reported, and blocks its name', async (t) => {
  const { ds, file, restart } = await crashed(t);
  await unlink(file('db.vmdk'));
  await writeTo(file('db-flat.vmdk'));
  const commands = await restart();
  t.deepEqual(await filesOf(ds), ['db-flat.vmdk', 'db.vmdk.json', ...kept]);
  t.is(commands.leftovers.length, 1);
  t.regex(commands.leftovers[0] ?? '', /db-flat\.vmdk has no descriptor and may hold data/);
  await t.throwsAsync(commands.create('db'), { code: 'VolumeExists' });
});

for (const [what, spoil] of [
  ['was formatted', (text: string) => text.replace('"isFormatted": false', '"isFormatted": true')],
  ['has unreadable metadata', () => 'garbage'],
] as const) {
  test(`sweep: an empty disk without descriptor that ${what} stays`, async (t) => {
    const { ds, file, restart } = await crashed(t);
    await unlink(file('db.vmdk'));
    await writeFile(file('db.vmdk.json'), spoil(await readFile(file('db.vmdk.json'), 'utf8')));
    const commands = await restart();
    t.deepEqual(await filesOf(ds), ['db-flat.vmdk', 'db.vmdk.json', ...kept]);
    t.is(commands.leftovers.length, 1);
  });
}

test('sweep: an empty disk that is attached stays', async (t) => {
  const { ds, file, restart } = await crashed(t);
  await unlink(file('db.vmdk'));
  await attachLoop({ backingPath: file('db-flat.vmdk'), isReadOnly: false });
  const commands = await restart();
  t.deepEqual(await filesOf(ds), ['db-flat.vmdk', 'db.vmdk.json', ...kept]);
  t.is(commands.leftovers.length, 1);
});

test('sweep: a disk of somebody else without descriptor stays', async (t) => {
  const { ds, file, restart } = await crashed(t);
  await writeFile(file('other-flat.vmdk'), '');
  await writeFile(file('weird-flat-flat.vmdk'), '');
  await writeFile(file('README'), 'hello');
  const commands = await restart();
  t.deepEqual((await filesOf(ds)).slice(0, 1), ['README']);
  t.is(commands.leftovers.length, 2);
  t.true((await filesOf(ds)).includes('other-flat.vmdk'));
});

for (const [what, missing] of [
  ['nothing', []],
  ['the disk', ['db-flat.vmdk']],
  ['the disk and the metadata', ['db-flat.vmdk', 'db.vmdk.json']],
] as const) {
  test(`sweep: a removal that had deleted ${what} is finished, data or not`, async (t) => {
    const { ds, file, restart } = await crashed(t);
    await writeTo(file('db-flat.vmdk'));
    await rename(file('db.vmdk'), file('db.vmdk.removed'));
    for (const name of missing) await unlink(file(name));
    const commands = await restart();
    t.deepEqual(await filesOf(ds), kept);
    t.is(commands.record('db'), undefined);
    t.deepEqual(commands.leftovers, []);
  });
}

test('sweep: an old tombstone never takes the files of a new volume of that name', async (t) => {
  const { ds, file, restart } = await crashed(t);
  await copyFile(file('db.vmdk'), file('db.vmdk.removed'));
  await writeTo(file('db-flat.vmdk'));
  const commands = await restart();
  t.is(commands.get('db').problem, undefined);
  t.deepEqual(await filesOf(ds), ['db-flat.vmdk', 'db.vmdk', 'db.vmdk.json', ...kept]);
});

test('sweep: a tombstone that names another volume’s disk, or cannot be read, takes nothing', async (t) => {
  const { ds, file, restart } = await crashed(t);
  await copyFile(file('keep.vmdk'), file('gone.vmdk.removed'));
  await writeFile(file('torn.vmdk.removed'), 'garbage');
  await writeFile(file('torn-flat.vmdk'), '');
  const commands = await restart();
  t.is(commands.get('keep').problem, undefined);
  const files = await filesOf(ds);
  t.true(files.includes('torn-flat.vmdk') && files.includes('torn.vmdk.removed') && files.includes('keep-flat.vmdk'));
  t.true(commands.leftovers.some((report) => report.includes('torn.vmdk.removed')));
});

test('sweep: a removed disk that is still attached stays until it is let go', async (t) => {
  const { ds, file, restart } = await crashed(t);
  await rename(file('db.vmdk'), file('db.vmdk.removed'));
  const { path, diskSequence } = await attachLoop({ backingPath: file('db-flat.vmdk'), isReadOnly: false });
  const commands = await restart();
  t.true((await filesOf(ds)).includes('db-flat.vmdk'));
  t.is(commands.leftovers.length, 1, 'nobody is told to give a removed disk its descriptor back');
  t.regex(commands.leftovers[0] ?? '', /still attached/);
  await commands.end();
  await detachLoop(path, diskSequence);
  await restart();
  t.deepEqual(await filesOf(ds), kept);
});
