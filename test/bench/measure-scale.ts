/**
 * What a datastore with very many volumes costs beside one with a few: starts, lists, changes and memory, of the service
 * and the plugin as two processes; and whether lists cost the same while the service writes a large disk.
 */
import { type Bench, connect, datastoreOf } from './bench.ts';
import { compareDisturbed, compareSteps, type DisturbedRound } from './compare.ts';
import type { DriverClient } from './driver-client.ts';
import type { Memory, ScaleFigures } from './figures.ts';
import type { Batch } from './floor.ts';
import type { MeasuredProcess } from './measured-process.ts';
import { Product } from './product.ts';
import { seedDatastore, seededName } from './seed-datastore.ts';
import { type Summary, summary } from './statistics.ts';
import { liveVolumes } from './volume-life.ts';

const few = 'scale-few';
const many = 'scale-many';

export async function measureScale(bench: Bench): Promise<ScaleFigures> {
  const { bed, counts, signal } = bench;
  const { scale } = counts;
  seedDatastore(datastoreOf(bed, few), scale.few);
  seedDatastore(datastoreOf(bed, many), scale.many);
  const starts = await measureStarts(bench);
  const options = { form: 'apart', isProbed: true } as const;
  await using small = await Product.start(bed, few, signal, options);
  await using large = await Product.start(bed, many, signal, options);
  const perVolume = await measureMemory(bench, small, large);
  const steps = compareSteps(await stepRounds(bench, small, large));
  const lists = await measureLists(bench, large);
  const beside = await measureBeside(bench, large);
  return { few: scale.few, many: scale.many, bigSize: scale.bigSize, ...starts, ...lists, perVolume, steps, ...beside };
}

/** A first list is answered, counted from the start of the plugin's process. */
async function measureStarts({
  bed,
  counts,
  signal,
}: Bench): Promise<Pick<ScaleFigures, 'serviceStart' | 'firstList'>> {
  const serviceStarts: number[] = [];
  const firstLists: number[] = [];
  for (let start = 0; start < counts.scale.starts; start++) {
    await using product = await Product.start(bed, many, signal, { form: 'apart' });
    using client = await product.client();
    serviceStarts.push(product.service?.startMs ?? 0);
    firstLists.push(product.startMs + (await client.list()));
  }
  return { serviceStart: summary(serviceStarts), firstList: summary(firstLists) };
}

async function measureMemory({ counts }: Bench, small: Product, large: Product): Promise<ScaleFigures['perVolume']> {
  for (const product of [small, large]) {
    using client = await product.client();
    await client.list();
  }
  const more = async (few: MeasuredProcess, many: MeasuredProcess): Promise<Memory> => {
    const [before, after] = [await few.heap(), await many.heap()];
    const volumes = counts.scale.many - counts.scale.few;
    return {
      heapBytes: (after.usedBytes - before.usedBytes) / volumes,
      rssBytes: (after.rssBytes - before.rssBytes) / volumes,
    };
  };
  const serviceOf = ({ plugin, service }: Product): MeasuredProcess => service?.process ?? plugin;
  return { plugin: await more(small.plugin, large.plugin), service: await more(serviceOf(small), serviceOf(large)) };
}

async function stepRounds(
  { counts, signal }: Bench,
  small: Product,
  large: Product,
): Promise<{ floor: Batch; product: Batch }[]> {
  using fewClients = await connect(small, 1);
  using manyClients = await connect(large, 1);
  const request = { volumes: counts.scale.volumesPerRound, clients: 1, laterPairs: 1 };
  const run = async (isLarge: boolean): Promise<Batch> =>
    await liveVolumes((isLarge ? manyClients : fewClients).all, request, signal);
  const rounds: { floor: Batch; product: Batch }[] = [];
  // The first round only warms up.
  for (let round = -1; round < counts.scale.rounds; round++) {
    const isLargeFirst = round % 2 === 0;
    const before = isLargeFirst ? await run(true) : undefined;
    const floor = await run(false);
    const product = before ?? (await run(true));
    if (round >= 0) rounds.push({ floor, product });
  }
  return rounds;
}

async function measureLists({ counts }: Bench, product: Product): Promise<{ list: Summary; changedList: Summary }> {
  using client = await product.client();
  const list: number[] = [];
  const changedList: number[] = [];
  for (let turn = 0; turn < counts.scale.lists; turn++) list.push(await client.list());
  for (let turn = 0; turn < counts.scale.lists; turn++) {
    const name = seededName(turn % counts.scale.few);
    await client.mount(name, 'change');
    changedList.push(await client.list());
    await client.unmount(name, 'change');
    changedList.push(await client.list());
  }
  return { list: summary(list), changedList: summary(changedList) };
}

/** Lists while one large disk is written, and while it is copied, with others just before and after. */
async function measureBeside(
  { counts }: Bench,
  product: Product,
): Promise<Pick<ScaleFigures, 'besideCreate' | 'besideClone'>> {
  using asking = await product.client();
  using working = await product.client();
  const { bigSize, bigRounds, lists } = counts.scale;
  const diskformat = 'eagerzeroedthick';
  const beside = async (work: () => Promise<unknown>): Promise<DisturbedRound> => {
    const idle: number[] = [];
    while (idle.length < lists) idle.push(await asking.list());
    const loaded = await listsDuring(asking, work);
    while (idle.length < 2 * lists) idle.push(await asking.list());
    return { idle, loaded };
  };
  const creates: DisturbedRound[] = [];
  const clones: DisturbedRound[] = [];
  for (let round = 0; round < bigRounds; round++) {
    creates.push(await beside(() => working.create('big', { size: bigSize, diskformat })));
    clones.push(await beside(() => working.create('big-copy', { 'clone-from': 'big', diskformat })));
    for (const name of ['big', 'big-copy']) await working.remove(name);
  }
  return { besideCreate: compareDisturbed(creates, 'p50'), besideClone: compareDisturbed(clones, 'p50') };
}

/** Only what ended before the work did. */
async function listsDuring(client: DriverClient, start: () => Promise<unknown>): Promise<number[]> {
  const ended = new AbortController();
  const work = start().finally(() => ended.abort());
  const times: number[] = [];
  while (!ended.signal.aborted) times.push(await client.list());
  await work;
  times.pop();
  return times;
}
