/**
 * Volumes whose files are damaged, one kind of damage each: the volume is there with a problem that names what is wrong,
 * every change of it is refused, not a byte of it is touched, the other volumes work, and it is as before when its file
 * is brought back.
 */
import { copyFile, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FakeHypervisor } from '../esx-service/fakes/fake-hypervisor.ts';
import { type Commands, refused, startCommands, vms } from '../esx-service/support/commands.ts';
import { fileOf, mebibyte, place, volumesOf } from '../esx-service/support/place.ts';

type Bytes = (whole: Buffer) => Buffer;

interface Damage {
  readonly file: 'db.vmdk' | 'db.vmdk.json' | 'db-flat.vmdk';
  readonly spoil: Bytes;
  readonly mention: RegExp;
}

const cutTo = (part: number): Bytes => {
  return (whole) => Buffer.from(whole.subarray(0, Math.floor(whole.length * part)));
};
const zeroed: Bytes = (whole) => Buffer.alloc(whole.length);
const garbage: Bytes = (whole) => Buffer.alloc(whole.length, '\u00fe\u0001garbage\n', 'latin1');
const lastSectorGone: Bytes = (whole) => Buffer.concat([whole.subarray(0, whole.length - 100), Buffer.alloc(100)]);
const replaced = (from: string, to: string): Bytes => {
  return (whole) => Buffer.from(whole.toString().replace(from, to));
};

const damages: Readonly<Record<string, Damage>> = {
  'empty metadata': { file: 'db.vmdk.json', spoil: cutTo(0), mention: /its metadata/ },
  'half of its metadata': { file: 'db.vmdk.json', spoil: cutTo(0.5), mention: /its metadata/ },
  'metadata of zeros': { file: 'db.vmdk.json', spoil: zeroed, mention: /its metadata/ },
  'metadata whose end is zeros': { file: 'db.vmdk.json', spoil: lastSectorGone, mention: /its metadata/ },
  'garbage for metadata': { file: 'db.vmdk.json', spoil: garbage, mention: /its metadata/ },
  'metadata with an unknown field': {
    file: 'db.vmdk.json',
    spoil: replaced('"uuid"', '"colour": "red", "uuid"'),
    mention: /its metadata is damaged.*colour/,
  },
  'metadata of a newer version': {
    file: 'db.vmdk.json',
    spoil: replaced('"formatVersion": 1', '"formatVersion": 2'),
    mention:
      /its metadata \/.*db\.vmdk\.json has format version 2, written by a newer vmdkopsd; this one \(.*\) reads 1: install/,
  },
  'an empty descriptor': { file: 'db.vmdk', spoil: cutTo(0), mention: /its descriptor is not a VMDK descriptor/ },
  'a third of its descriptor': { file: 'db.vmdk', spoil: cutTo(0.3), mention: /its descriptor/ },
  'a descriptor of zeros': { file: 'db.vmdk', spoil: zeroed, mention: /its descriptor is not a VMDK descriptor/ },
  'garbage for a descriptor': { file: 'db.vmdk', spoil: garbage, mention: /its descriptor is not/ },
  'a descriptor of another size': {
    file: 'db.vmdk',
    spoil: replaced('RW 2048', 'RW 2049'),
    mention: /512 bytes shorter/,
  },
  'an empty extent': { file: 'db-flat.vmdk', spoil: cutTo(0), mention: /its extent .* is 1048576 bytes shorter/ },
  'an extent that lacks a sector': {
    file: 'db-flat.vmdk',
    spoil: (whole) => Buffer.from(whole.subarray(512)),
    mention: /its extent .* is 512 bytes shorter than its descriptor says/,
  },
};

interface Bench {
  readonly ds: string;
  readonly start: () => Promise<Commands>;
}

/** A datastore with `db` and `keep`, both formatted, and a service that has ended. */
async function bench(t: ExecutionContext): Promise<Bench> {
  const at = await place(t);
  const ds = at.path('local');
  const hypervisor = new FakeHypervisor(vms);
  const start = (): Promise<Commands> => startCommands(t, { datastores: { local: ds }, hypervisor });
  const commands = await start();
  for (const name of ['db', 'keep']) {
    await commands.create(name, { sizeBytes: mebibyte });
    await commands.attach(name);
    await commands.detach(name, { isFormatted: true });
  }
  await commands.end();
  return { ds, start };
}

async function bytesOfAll(ds: string): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(volumesOf(ds))).toSorted();
  const contents = names.map(async (name) => [name, (await readFile(fileOf(ds, name))).toString('base64')] as const);
  return Object.fromEntries(await Promise.all(contents));
}

for (const [what, { file, spoil, mention }] of Object.entries(damages)) {
  test(`damage: a volume with ${what} is degraded, refused, untouched, and back with its file`, async (t) => {
    const { ds, start } = await bench(t);
    const saved = join(ds, 'saved');
    await copyFile(fileOf(ds, file), saved);
    await writeFile(fileOf(ds, file), spoil(await readFile(saved)));
    const before = await bytesOfAll(ds);
    for (let starts = 0; starts < 2; starts += 1) {
      const commands = await start();
      t.regex(commands.get('db').problem ?? '', mention);
      await refuses(t, commands, mention);
      await worksBeside(t, commands);
      await commands.end();
      t.deepEqual(await bytesOfAll(ds), before);
    }
    await copyFile(saved, fileOf(ds, file));
    const commands = await start();
    t.like(commands.record('db'), { isFormatted: true, volume: { problem: undefined, sizeBytes: mebibyte } });
    t.truthy((await commands.attach('db')).device);
    await commands.detach('db');
  });
}

async function refuses(t: ExecutionContext, commands: Commands, mention: RegExp): Promise<void> {
  await refused(t, commands.attach('db'), 'DamagedVolume', 'volume db@local cannot be used: ');
  await refused(t, commands.remove('db'), 'DamagedVolume', 'db@local');
  await refused(t, commands.create('db', { sizeBytes: mebibyte }), 'DamagedVolume', 'db@local');
  await refused(t, commands.clone('copy', 'db'), 'DamagedVolume', 'db@local');
  await t.throwsAsync(commands.attach('db'), { message: mention });
  t.is(commands.record('copy'), undefined);
}

async function worksBeside(t: ExecutionContext, commands: Commands): Promise<void> {
  t.is(commands.get('keep').problem, undefined);
  await commands.attach('keep');
  await commands.detach('keep');
  await commands.clone('other', 'keep');
  await commands.remove('other');
}

test('damage: two damaged volumes are told apart, and each is named', async (t) => {
  const { ds, start } = await bench(t);
  await writeFile(fileOf(ds, 'db.vmdk.json'), '{');
  await truncate(fileOf(ds, 'keep-flat.vmdk'), 512);
  const commands = await start();
  await refused(t, commands.attach('db'), 'DamagedVolume', 'db@local', 'its metadata is not JSON');
  await refused(t, commands.attach('keep'), 'DamagedVolume', 'keep@local', 'shorter than its descriptor says');
  await t.notThrowsAsync(commands.create('new', { sizeBytes: mebibyte }));
});

test('damage: a damaged volume that is attached can be let go', async (t) => {
  const at = await place(t);
  const ds = at.path('local');
  const hypervisor = new FakeHypervisor(vms);
  const start = (): Promise<Commands> => startCommands(t, { datastores: { local: ds }, hypervisor });
  const commands = await start();
  await commands.create('db', { sizeBytes: mebibyte });
  await commands.attach('db');
  await commands.end();
  await writeFile(fileOf(ds, 'db.vmdk.json'), '');
  const again = await start();
  t.is(again.get('db').attached?.vm.name, 'alpha');
  await refused(t, again.remove('db'), 'DamagedVolume', 'db@local');
  await again.detach('db', { isFormatted: true });
  t.is(again.get('db').attached, undefined);
  t.is(await readFile(fileOf(ds, 'db.vmdk.json'), 'utf8'), '');
});

test('damage: of an extent that is longer than its descriptor says, the disk is as much as the descriptor says', async (t) => {
  const { ds, start } = await bench(t);
  const first = await start();
  const before = first.get('db').sizeBytes;
  await first.end();
  await truncate(fileOf(ds, 'db-flat.vmdk'), 2 * mebibyte);
  const commands = await start();
  t.is(commands.get('db').problem, undefined);
  t.is(commands.get('db').sizeBytes, before);
});

test('damage: each refusal says what to do', async (t) => {
  const advice = /restore|bring .* back|repair|update|delete|replace|upgrade|make/i;
  const silent: string[] = [];
  for (const [what, { file, spoil }] of Object.entries(damages)) {
    const { ds, start } = await bench(t);
    await writeFile(fileOf(ds, file), spoil(await readFile(fileOf(ds, file))));
    const commands = await start();
    const failure = await t.throwsAsync(commands.attach('db'));
    if (!advice.test(failure.message)) silent.push(`${what}: ${failure.message}`);
    await commands.end();
  }
  for (const sentence of silent) t.log(sentence);
  t.deepEqual(silent, []);
});
