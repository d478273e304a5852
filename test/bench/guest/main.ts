/**
 * `npm run bench:guest`: how long a volume takes to come into a real guest and to leave it, beside what the hypervisor and
 * the guest's kernel take by themselves for as many disks, on each kind of controller. The guest is emulated (TCG): its
 * kernel and the plugin run some twenty times slower than on a processor that virtualises.
 *
 *   npm run bench:guest -- [--quick] [--json FILE] [--only pvscsi|virtio-scsi]
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deadline } from '../../../common/deadline.ts';
import { messageOf } from '../../../common/fault.ts';
import type { Guest } from '../../guest/guest.ts';
import { bootPluginGuest } from '../../guest/plugin-guest.ts';
import { describeMachine, load } from '../machine.ts';
import { median } from '../statistics.ts';
import { tableOf } from '../table.ts';
import { BareDisks } from './bare-disks.ts';
import { type ControllerFigures, type ControllerName, controllers, type ManyTimes, type Round } from './figures.ts';
import { ProductInGuest } from './product.ts';
import { guestRows } from './verdicts.ts';

const wholeRunMs = 30 * 60_000;
const root = join(import.meta.dirname, '../../..');
const many = 32;
/** File systems made at once: each makes the others wait longer. */
const atATime = 4;
const sizeMegabytes = 20;
const sizeBytes = sizeMegabytes * 1024 ** 2;
const names = Array.from({ length: many }, (_, place) => `many-${place}`);
const buses: Readonly<Record<ControllerName, string>> = { pvscsi: 'scsi0.0', 'virtio-scsi': 'scsi1.0' };
const virtio = ['-device', 'virtio-scsi-pci,id=scsi1'];

interface Counts {
  readonly rounds: number;
  readonly perRound: number;
  /** Mounts of a plugin before it is measured: V8 compiles what runs often, and that takes an emulated processor long. */
  readonly warmUps: number;
}

const stopped = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => stopped.abort(new Error(`stopped by ${name}`)));
}
try {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, json: { type: 'string' }, only: { type: 'string' } },
  });
  const wanted = controllers.filter((name) => values.only === undefined || values.only === name);
  if (wanted.length === 0) throw new Error(`--only knows ${controllers.join(' and ')}`);
  await main(
    wanted,
    values.quick ? { rounds: 1, perRound: 2, warmUps: 4 } : { rounds: 2, perRound: 5, warmUps: 40 },
    values.json,
  );
} catch (error) {
  console.error(`bench: ${messageOf(stopped.signal.aborted ? stopped.signal.reason : error)}`);
  process.exitCode = 1;
}

async function main(wanted: readonly ControllerName[], counts: Counts, jsonFile: string | undefined): Promise<void> {
  using limit = deadline(wholeRunMs, 'the benchmark', stopped.signal);
  const parent = join(root, 'build/bench');
  await mkdir(parent, { recursive: true });
  const machine = await describeMachine(parent);
  const loadBefore = load();
  const all: ControllerFigures[] = [];
  for (const controller of wanted) {
    console.error(`bench: ${controller}`);
    const folder = await mkdtemp(join(parent, 'guest-'));
    try {
      all.push(await measure(folder, controller, counts, limit.signal));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const rows = all.flatMap(guestRows);
  const judged = rows.filter(({ isMet }) => isMet !== undefined);
  const met = judged.filter(({ isMet }) => isMet === true).length;
  console.log(
    [
      tableOf(rows),
      '',
      `${String(met)} of ${String(judged.length)} targets met; medians of ${String(counts.rounds)} rounds in turns, each of a plugin that has made ${String(counts.warmUps)} mounts`,
      `alone     as many disks by QMP into the same guest, in which nothing of the product runs`,
      `guest     2 processors under TCG, 512 MiB, ${String(sizeMegabytes)} MB volumes, ext4; asked over vsock from outside`,
      `machine   ${machine.processors}, load ${loadBefore.toFixed(1)} before, ${load().toFixed(1)} after; Linux ${machine.kernel}, Node ${machine.node}`,
    ].join('\n'),
  );
  if (jsonFile !== undefined) await writeFile(jsonFile, `${JSON.stringify({ machine, figures: all }, undefined, 2)}\n`);
}

async function measure(
  folder: string,
  controller: ControllerName,
  counts: Counts,
  signal: AbortSignal,
): Promise<ControllerFigures> {
  await using guest = await bootPluginGuest({ arguments: virtio });
  const first = await firstMount(guest, folder, controller, counts);
  const rounds: Round[] = [];
  while (rounds.length < counts.rounds) {
    signal.throwIfAborted();
    rounds.push({
      ...(await bareRound(guest, folder, controller, counts, signal)),
      ...(await productRound(guest, folder, controller, counts)),
    });
  }
  return { controller, many, firstMount: first, rounds };
}

/** Makes the volumes, and their file systems: some one by one, for the figure, and the others a few at a time. */
async function firstMount(
  guest: Guest,
  folder: string,
  controller: ControllerName,
  { perRound }: Counts,
): Promise<number> {
  await using product = await ProductInGuest.start(guest, folder, controller);
  for (const name of names) await product.ask('Create', { Name: name, Opts: { size: `${sizeMegabytes}mb` } });
  const times = [];
  for (const name of names.slice(0, perRound)) times.push((await mountAndUnmount(product, [name])).mount);
  for (let place = perRound; place < names.length; place += atATime) {
    await mountAndUnmount(product, names.slice(place, place + atATime));
  }
  return median(times);
}

async function bareRound(
  guest: Guest,
  folder: string,
  controller: ControllerName,
  { perRound }: Counts,
  signal: AbortSignal,
): Promise<Pick<Round, 'bare' | 'bareMany'>> {
  const options = { bus: buses[controller], folder, disks: many, sizeBytes };
  await using disks = await BareDisks.open(guest, options, signal);
  const bare = [];
  while (bare.length < perRound) bare.push(await disks.round(1));
  return { bare, bareMany: await disks.round(many) };
}

async function productRound(
  guest: Guest,
  folder: string,
  controller: ControllerName,
  { perRound, warmUps }: Counts,
): Promise<Omit<Round, 'bare' | 'bareMany'>> {
  await using product = await ProductInGuest.start(guest, folder, controller);
  const [asked, one]: [number[], Round['one'][number][]] = [[], []];
  const early: Round['early'][number][] = [];
  while (early.length < warmUps) early.push(await mountAndUnmount(product, names.slice(0, 1)));
  while (one.length < perRound) {
    asked.push(await product.ask('Capabilities'));
    one.push(await mountAndUnmount(product, names.slice(0, 1)));
  }
  const askedMany = await product.askForAll('Capabilities', names);
  return { asked, askedMany, early: early.slice(0, perRound), one, many: await mountAndUnmount(product, names) };
}

async function mountAndUnmount(product: ProductInGuest, volumes: readonly string[]): Promise<ManyTimes> {
  const before = await product.calls();
  const mount = await product.askForAll('Mount', volumes);
  const between = await product.calls();
  const unmount = await product.askForAll('Unmount', volumes);
  return { mount, unmount, mountCalls: between - before, unmountCalls: (await product.calls()) - between };
}
