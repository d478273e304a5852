/**
 * What List and Get cost while much else is in progress, beside what they cost the same clients when nothing is. Each
 * round asks idle and loaded within a few seconds; a server that does nothing, asked beside the same load, shows how
 * much of the difference is the machine's.
 */
import { mkfsTool } from '../../plugin/adapters/mkfs.ts';
import { type Bench, datastoreOf } from './bench.ts';
import { compareDisturbed, type DisturbedRound } from './compare.ts';
import type { MountLoad, ReaderFigures, ReadersBeside } from './figures.ts';
import { Load, type LoadRequest } from './load.ts';
import { MkfsGate } from './mkfs-gate.ts';
import { startNothing } from './nothing-server.ts';
import { type Form, Product } from './product.ts';
import { Readers, type ReadTimes } from './readers.ts';
import { seedDatastore, seededName, seedFullVolume } from './seed-datastore.ts';
import { median } from './statistics.ts';

const source = 'cloned';
const mountLoads = ['cycling', 'waiting'] as const;

interface Asked {
  readonly server: ReadersBeside['server'];
  readonly readers: Readers;
}

interface Round extends Asked {
  readonly mounts: MountLoad;
  readonly idle: ReadTimes;
  readonly loaded: ReadTimes;
  readonly mountsPerSecond: number;
  readonly clonesEnded: number;
}

export async function measureReaders(bench: Bench): Promise<ReaderFigures> {
  const { volumes, clones, mounts } = bench.counts.readers;
  const rounds = [...(await measureForm(bench, 'apart')), ...(await measureForm(bench, 'embedded'))];
  const groups = Map.groupBy(rounds, (round) => `${round.server} ${round.mounts}`);
  return { volumes, clones, mounts, beside: [...groups.values()].map(figuresOf) };
}

async function measureForm(bench: Bench, form: Form): Promise<readonly Round[]> {
  const { bed, counts, signal } = bench;
  const { volumes, sourceBytes, clients, windowMs } = counts.readers;
  const name = `readers-${form}`;
  const datastore = datastoreOf(bed, name);
  seedDatastore(datastore, volumes - 1);
  seedFullVolume(datastore, source, sourceBytes);
  using gate = new MkfsGate(bed.path(`${name}-gate`), mkfsTool('ext4'));
  await using opened = new AsyncDisposableStack();
  const product = opened.use(await Product.start(bed, name, signal, { form, toolFolder: gate.toolFolder }));
  const names = Array.from({ length: volumes - 1 }, (_, number) => seededName(number));
  const asked: Asked[] = [];
  const ask = async (server: Asked['server'], socket: string): Promise<void> => {
    const readers = opened.use(await Readers.open({ socket, clients, names }, signal));
    asked.push({ server, readers });
    // Code gets warm outside the rounds.
    await readers.ask(windowMs);
  };
  await ask(form, product.socket);
  if (form === 'apart') await ask('nothing', opened.use(await startNothing(bed, names, signal)).socket);
  const { clones } = counts.readers;
  return await inRounds(bench, asked, { product, gate, source, clones, signal });
}

async function inRounds(
  { counts }: Bench,
  asked: readonly Asked[],
  base: Omit<LoadRequest, 'cycled' | 'waiting'>,
): Promise<readonly Round[]> {
  const { rounds, mounts: count } = counts.readers;
  const found: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const mounts of mountLoads) {
      const request = { ...base, ...mountedIn(mounts, round, count) };
      found.push(...(await measureRound(asked, mounts, request, counts.readers.windowMs)));
    }
  }
  return found;
}

async function measureRound(
  asked: readonly Asked[],
  mounts: MountLoad,
  request: LoadRequest,
  windowMs: number,
): Promise<readonly Round[]> {
  const idle = new Map<Asked, ReadTimes>();
  for (const one of asked) idle.set(one, await one.readers.ask(windowMs));
  await using load = await Load.start(request);
  const found: Round[] = [];
  for (const one of asked) {
    const before = load.done;
    const loaded = await one.readers.ask(windowMs);
    const mountsPerSecond = ((load.done.cycles - before.cycles) / windowMs) * 1000;
    const clonesEnded = load.done.clones - before.clones;
    found.push({ ...one, mounts, idle: idle.get(one) ?? loaded, loaded, mountsPerSecond, clonesEnded });
  }
  return found;
}

/** The same volumes go on and on; those that wait must never have been formatted, so each round has others. */
function mountedIn(mounts: MountLoad, round: number, count: number): Pick<LoadRequest, 'cycled' | 'waiting'> {
  const from = mounts === 'cycling' ? 0 : (round + 1) * count;
  const names = Array.from({ length: count }, (_, place) => seededName(from + place));
  return mounts === 'cycling' ? { cycled: names, waiting: [] } : { cycled: [], waiting: names };
}

function figuresOf(rounds: readonly Round[]): ReadersBeside {
  const of = (verb: keyof ReadTimes): ReadersBeside['list'] =>
    compareDisturbed(
      rounds.map(({ idle, loaded }): DisturbedRound => ({ idle: idle[verb], loaded: loaded[verb] })),
      'p99',
    );
  return {
    server: rounds[0]?.server ?? 'nothing',
    mounts: rounds[0]?.mounts ?? 'waiting',
    list: of('list'),
    get: of('get'),
    mountsPerSecond: median(rounds.map((round) => round.mountsPerSecond)),
    clonesEnded: rounds.reduce((sum, round) => sum + round.clonesEnded, 0),
  };
}
