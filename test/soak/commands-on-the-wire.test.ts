/** How many commands each of Docker's requests costs, counted on the wire between plugin and service (design §4). */
import test, { type ExecutionContext } from 'ava';
import { openStormBed, type Surroundings } from './bed.ts';
import { type Answer, PluginDoor } from './plugin-door.ts';
import { Random } from './random.ts';

interface Counting extends AsyncDisposable {
  readonly door: PluginDoor;
  /** The commands that the work put on the wire, in the order of their names. */
  readonly of: (work: () => Promise<Answer>, kind?: Answer['kind']) => Promise<Readonly<Record<string, number>>>;
}

/** Pings come from a timer, and belong to no request. */
function commandsOf(bed: Surroundings): ReadonlyMap<string, number> {
  return new Map([...bed.link.commandsSeen()].filter(([name]) => name !== 'ping'));
}

async function counting(t: ExecutionContext): Promise<Counting> {
  const bed = await openStormBed(new Random(t.title));
  const door = new PluginDoor(bed.pluginSocket, new AbortController().signal);
  return {
    door,
    async of(work, kind = 'ok') {
      const before = commandsOf(bed);
      const answer = await work();
      t.is(answer.kind, kind, JSON.stringify(answer));
      const more = [...commandsOf(bed)].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const);
      return Object.fromEntries(more.filter(([, count]) => count > 0));
    },
    async [Symbol.asyncDispose]() {
      door[Symbol.dispose]();
      await bed[Symbol.asyncDispose]();
    },
  };
}

const db = { Name: 'db' };
const a = { Name: 'db', ID: 'a' };
const b = { Name: 'db', ID: 'b' };
const options = { size: '8mb' };

test('wire: Create, Remove, the first Mount and the last Unmount cost one command; every other request none', async (t) => {
  await using wire = await counting(t);
  const { door } = wire;
  t.deepEqual(await wire.of(() => door.send('POST', '/Plugin.Activate', '')), {});
  t.deepEqual(await wire.of(() => door.verb('Capabilities', {})), {});
  t.deepEqual(await wire.of(() => door.verb('Create', { ...db, Opts: options })), { create: 1 });
  t.deepEqual(await wire.of(() => door.verb('Get', db)), {});
  t.deepEqual(await wire.of(() => door.verb('List', {})), {});
  t.deepEqual(await wire.of(() => door.verb('Path', db)), {});
  t.deepEqual(await wire.of(() => door.verb('Mount', a)), { attach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Mount', b)), {});
  t.deepEqual(await wire.of(() => door.verb('Mount', b)), {}, 'the same ID again');
  t.deepEqual(await wire.of(() => door.verb('Mount', { Name: 'db@fast', ID: 'c' })), {}, 'by its full name');
  for (const verb of ['Get', 'Path']) t.deepEqual(await wire.of(() => door.verb(verb, db)), {}, `${verb} when mounted`);
  t.deepEqual(await wire.of(() => door.verb('Unmount', { Name: 'db', ID: 'nobody' })), {});
  for (const one of [a, b, b]) t.deepEqual(await wire.of(() => door.verb('Unmount', one)), {}, 'not the last');
  t.deepEqual(await wire.of(() => door.verb('Unmount', { Name: 'db', ID: 'c' })), { detach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Mount', a)), { attach: 1 }, 'mounted again');
  t.deepEqual(await wire.of(() => door.verb('Unmount', a)), { detach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Remove', db)), { remove: 1 });
});

test('wire: a request that is repeated, or that fails, costs no more than one that succeeds', async (t) => {
  await using wire = await counting(t);
  const { door } = wire;
  await door.verb('Create', { ...db, Opts: options });
  t.deepEqual(await wire.of(() => door.verb('Create', { ...db, Opts: options })), { create: 1 });
  t.deepEqual(await wire.of(() => door.verb('Create', { ...db, Opts: { size: '9mb' } }), 'refused'), { create: 1 });
  t.deepEqual(await wire.of(() => door.verb('Create', { Name: 'x', Opts: { size: 'much' } }), 'refused'), {});
  t.deepEqual(await wire.of(() => door.verb('Create', { Name: 'a/b', Opts: null }), 'refused'), {});
  t.deepEqual(await wire.of(() => door.verb('Create', { Name: 'x@nowhere', Opts: null }), 'refused'), {});
  t.deepEqual(await wire.of(() => door.verb('Get', { Name: 'nobody' }), 'refused'), {});
  t.deepEqual(await wire.of(() => door.verb('Mount', { Name: 'nobody', ID: 'x' }), 'refused'), { attach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Mount', db), 'refused'), {}, 'without an ID');
  t.deepEqual(await wire.of(() => door.send('POST', '/VolumeDriver.Mount', ''), 'dropped'), {}, 'an empty body');
  t.deepEqual(await wire.of(() => door.verb('Unmount', a)), {}, 'never mounted');
  await door.verb('Mount', a);
  t.deepEqual(await wire.of(() => door.verb('Remove', db), 'refused'), {}, 'while mounted');
  await door.verb('Unmount', a);
  t.deepEqual(await wire.of(() => door.verb('Remove', db)), { remove: 1 });
  t.deepEqual(await wire.of(() => door.verb('Remove', db)), { remove: 1 }, 'removed already');
});

test('wire: a clone costs as much as any volume; only the first Mount of a read-only one attaches twice', async (t) => {
  await using wire = await counting(t);
  const { door } = wire;
  await door.verb('Create', { ...db, Opts: options });
  await door.verb('Mount', a);
  await door.verb('Unmount', a);
  const copy = { Name: 'copy', ID: 'a' };
  t.deepEqual(await wire.of(() => door.verb('Create', { Name: 'copy', Opts: { 'clone-from': 'db' } })), { create: 1 });
  t.deepEqual(await wire.of(() => door.verb('Mount', copy)), { attach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Unmount', copy)), { detach: 1 });
  const still = { Name: 'still', ID: 'a' };
  const readOnly = { 'clone-from': 'db', access: 'read-only' };
  t.deepEqual(await wire.of(() => door.verb('Create', { Name: 'still', Opts: readOnly })), { create: 1 });
  t.deepEqual(await wire.of(() => door.verb('Mount', still)), { attach: 2, detach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Unmount', still)), { detach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Mount', still)), { attach: 1 });
  t.deepEqual(await wire.of(() => door.verb('Unmount', still)), { detach: 1 });
});

test('wire: eight first Mounts at once of one volume cost one command', async (t) => {
  await using wire = await counting(t);
  const doors = Array.from({ length: 8 }, (_, client) => ({ ID: `id ${client}`, door: wire.door.another() }));
  await wire.door.verb('Create', { ...db, Opts: options });
  const all = async (verb: string): Promise<Answer> => {
    const answers = await Promise.all(doors.map(({ door, ID }) => door.verb(verb, { Name: 'db', ID })));
    return answers.find(({ kind }) => kind !== 'ok') ?? { kind: 'ok', body: {} };
  };
  t.deepEqual(await wire.of(() => all('Mount')), { attach: 1 });
  t.deepEqual(await wire.of(() => all('Unmount')), { detach: 1 });
  for (const { door } of doors) door[Symbol.dispose]();
});
