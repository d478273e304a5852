/** What is measured through the plugin's own socket, most of it in turns with the floor. */
import { pause } from '../../common/deadline.ts';
import { type Bench, connect, startSeeded } from './bench.ts';
import { compareCycles, compareSteps, type Round } from './compare.ts';
import type { CommandsOf, CyclesAt, Figures, Footprint, ReadsWith } from './figures.ts';
import type { BatchRequest } from './floor.ts';
import { Product } from './product.ts';
import { seededName } from './seed-datastore.ts';
import { type Summary, summary } from './statistics.ts';
import { liveVolumes } from './volume-life.ts';

/** With an empty datastore. The first start is not counted: it writes the compiler's cache. */
export async function measureStart({ bed, counts, signal }: Bench): Promise<Summary> {
  const times: number[] = [];
  for (let start = -1; start < counts.starts; start++) {
    await using product = await Product.start(bed, `start-${String(start)}`, signal);
    if (start >= 0) times.push(product.startMs);
  }
  return summary(times);
}

export async function measureFootprint({ bed, counts, signal }: Bench): Promise<Footprint> {
  await using product = await Product.start(bed, 'footprint', signal);
  const settledState = async (): Promise<Footprint['idle']> => {
    await pause(counts.idleMs, signal);
    return product.state();
  };
  const idle = await settledState();
  const run = async (volumes: number): Promise<void> => {
    using clients = await connect(product, 8);
    await liveVolumes(clients.all, { volumes, clients: 8, laterPairs: 0 }, signal);
  };
  await run(counts.warmCycles);
  const warm = await settledState();
  await run(counts.leakCycles / 2);
  const halfway = await settledState();
  await run(counts.leakCycles / 2);
  return { idle, warm, halfway, after: await settledState(), cycles: counts.leakCycles };
}

/** Each volume alone, one step after another. */
export async function measureSteps(bench: Bench): Promise<NonNullable<Figures['steps']>> {
  const request = { volumes: bench.counts.volumesPerRound, clients: 1, laterPairs: 2 };
  await using product = await startSeeded(bench, 'steps');
  return compareSteps(await inTurns(bench, product, request, bench.counts.stepRounds));
}

/** Create, first Mount, Unmount, Remove, by more and more clients at once. */
export async function measureCycles(bench: Bench): Promise<readonly CyclesAt[]> {
  await using product = await startSeeded(bench, 'cycles');
  const found: CyclesAt[] = [];
  for (const [clients, volumes] of bench.counts.cycles) {
    const rounds = await inTurns(bench, product, { volumes, clients, laterPairs: 0 }, bench.counts.cycleRounds);
    found.push(compareCycles(clients, rounds));
  }
  return found;
}

async function inTurns(bench: Bench, product: Product, request: BatchRequest, count: number): Promise<Round[]> {
  using clients = await connect(product, request.clients);
  const rounds: Round[] = [];
  const runProduct = (): ReturnType<typeof liveVolumes> => liveVolumes(clients.all, request, bench.signal);
  // Their caches and threads get warm outside the rounds.
  if (request.clients === 1) await liveVolumes(clients.all, { ...request, volumes: 3 }, bench.signal);
  for (let round = 0; round < count; round++) {
    const isFloorFirst = round % 2 === 0;
    const before = isFloorFirst ? await bench.floor.run(request) : undefined;
    const product = await runProduct();
    rounds.push({ floor: before ?? (await bench.floor.run(request)), product });
  }
  return rounds;
}

/** Commands to the service for each of Docker's requests, one after another; the service's own pings do not count. */
export async function measureCommands(bench: Bench): Promise<readonly CommandsOf[]> {
  await using product = await startSeeded(bench, 'commands');
  using clients = await connect(product, 1);
  const [client] = clients.all;
  if (!client) return [];
  const requests: readonly [request: string, expected: number, ask: () => Promise<number>][] = [
    ['Create', 1, () => client.create('counted')],
    ['Get', 0, () => client.get('counted')],
    ['List', 0, () => client.list()],
    ['Capabilities', 0, () => client.capabilities()],
    ['first Mount', 1, () => client.mount('counted', 'one')],
    ['second Mount', 0, () => client.mount('counted', 'two')],
    ['Path', 0, () => client.path('counted')],
    ['first Unmount', 0, () => client.unmount('counted', 'one')],
    ['last Unmount', 1, () => client.unmount('counted', 'two')],
    ['later Mount', 1, () => client.mount('counted', 'three')],
    ['its Unmount', 1, () => client.unmount('counted', 'three')],
    ['Remove', 1, () => client.remove('counted')],
  ];
  const found: CommandsOf[] = [];
  for (const [request, expected, ask] of requests) {
    const before = await client.commandCounts();
    await ask();
    const after = await client.commandCounts();
    const sent = [...after].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const);
    found.push({ request, expected, sent: Object.fromEntries(sent.filter(([name, n]) => n > 0 && name !== 'ping')) });
  }
  return found;
}

export async function measureReads(bench: Bench): Promise<readonly ReadsWith[]> {
  const found: ReadsWith[] = [];
  for (const [volumes, lists] of bench.counts.lists) {
    const name = `reads-${String(volumes)}`;
    await using product = await startSeeded(bench, name, volumes);
    using clients = await connect(product, 1);
    const [client] = clients.all;
    if (!client) continue;
    const listed = await client.countListed();
    if (listed !== volumes) throw new Error(`${String(volumes)} volumes are there, ${String(listed)} are listed`);
    const get = await repeated(bench, bench.counts.gets, (turn) => client.get(seededName((turn * 7919) % volumes)));
    const list = await repeated(bench, lists, () => client.list());
    const { rssMib } = await product.state();
    found.push({ volumes, startMs: product.startMs, rssMib, get, list });
  }
  return found;
}

async function repeated({ signal }: Bench, count: number, ask: (turn: number) => Promise<number>): Promise<Summary> {
  const warmUp = Math.ceil(count / 5);
  const times: number[] = [];
  for (let turn = -warmUp; turn < count && !signal.aborted; turn++) {
    const ms = await ask(turn + warmUp);
    if (turn >= 0) times.push(ms);
  }
  signal.throwIfAborted();
  return summary(times);
}
