/** The figures as rows of a table, with what was aimed at. Pure. A row without a target is for information. */
import type { Compared, CommandsOf, CyclesAt, DockerFigures, Figures, Footprint, ReadsWith } from './figures.ts';
import type { Summary } from './statistics.ts';
import { ms, type Row, row, short, type Target } from './rows.ts';
import { batchRow, readerRows, recoveryRows, scaleRows } from './service-verdicts.ts';
import type { Step } from './step-times.ts';

export function rowsOf(figures: Figures): readonly Row[] {
  return [
    ...(figures.steps ? stepRows(figures.steps) : []),
    ...(figures.cycles ? cycleRows(figures.cycles) : []),
    ...(figures.reads ?? []).flatMap(readRows),
    ...(figures.readers ? readerRows(figures.readers) : []),
    ...(figures.scale ? scaleRows(figures.scale) : []),
    ...(figures.batch ? [batchRow(figures.batch)] : []),
    ...(figures.recovery ? recoveryRows(figures.recovery) : []),
    ...(figures.commands ? [commandRow(figures.commands)] : []),
    ...(figures.docker ? dockerRows(figures.docker) : []),
    ...(figures.start ? [startRow(figures.start)] : []),
    ...(figures.footprint ? footprintRows(figures.footprint) : []),
  ];
}

const stepTargets: Partial<Record<Step, (compared: Compared) => Target>> = {
  create: ({ product, ratio }) => ({ text: '<= 2.5 ms, <= 3 x floor', isMet: product.p50 <= 2.5 && ratio <= 3 }),
  'first-mount': ({ difference }) => ({ text: '<= floor + 3 ms', isMet: difference <= 3 }),
  mount: ({ ratio }) => ({ text: '<= 2.5 x floor', isMet: ratio <= 2.5 }),
  unmount: ({ ratio }) => ({ text: '<= 2.5 x floor', isMet: ratio <= 2.5 }),
};
const stepTitles: Readonly<Record<Step, string>> = {
  create: 'Create, durable (ms)',
  'first-mount': 'first Mount, formats (ms)',
  'first-unmount': 'Unmount after it (ms)',
  mount: 'later Mount (ms)',
  unmount: 'later Unmount (ms)',
  remove: 'Remove (ms)',
};

function stepRows(compared: NonNullable<Figures['steps']>): readonly Row[] {
  return (Object.entries(compared) as [Step, Compared][]).map(([step, found]) => {
    const isByDifference = step === 'first-mount';
    const ratio = isByDifference
      ? `${found.difference >= 0 ? '+' : ''}${short(found.difference)} ms`
      : `${short(found.ratio)} x`;
    return row(stepTitles[step], ms(found.product), ms(found.floor), ratio, stepTargets[step]?.(found));
  });
}

function cycleRows(all: readonly CyclesAt[]): readonly Row[] {
  const at32 = all.find(({ clients }) => clients === 32);
  return all.flatMap((at) => {
    const target = cycleTarget(at, at32);
    const errors = (count: number): string => (count === 0 ? '' : `, ${String(count)} errors`);
    const product = `${short(at.productPerSecond)}${errors(at.productErrors)}`;
    const floor = `${short(at.floorPerSecond)}${errors(at.floorErrors)}`;
    const title = `cycles/s, ${String(at.clients)} ${at.clients === 1 ? 'client' : 'clients'}`;
    return [row(title, product, floor, `${short(at.ratio)} x`, target)];
  });
}

function cycleTarget(at: CyclesAt, at32: CyclesAt | undefined): Target | undefined {
  const hasNoErrors = at.productErrors === 0;
  if (at.clients === 32) return { text: '>= 0.45 x floor, no errors', isMet: at.ratio >= 0.45 && hasNoErrors };
  if (at.clients !== 100 || !at32) return { text: 'no errors', isMet: hasNoErrors };
  const share = at.productPerSecond / at32.productPerSecond;
  return { text: `>= 0.9 x of 32 clients (${short(share)}), no errors`, isMet: share >= 0.9 && hasNoErrors };
}

function readRows({ volumes, get, list, startMs, rssMib }: ReadsWith): readonly Row[] {
  const among = `${String(volumes)} volumes`;
  return [
    row(`Get, ${among} (ms)`, ms(get)),
    row(`List, ${among} (ms)`, ms(list)),
    row(`start, RSS with ${among}`, `${short(startMs)} ms, ${short(rssMib)} MiB`),
  ];
}

function commandRow(all: readonly CommandsOf[]): Row {
  const total = (sent: CommandsOf['sent']): number => Object.values(sent).reduce((sum, count) => sum + count, 0);
  const wrong = all.filter(({ expected, sent }) => total(sent) !== expected);
  const told = wrong.map(({ request, sent }) => `${request} ${JSON.stringify(sent)}`);
  const product = wrong.length === 0 ? `as the table, ${String(all.length)} requests` : told.join('; ');
  return row('commands per request', product, '', '', { text: "the design's table", isMet: wrong.length === 0 });
}

function dockerRows({ local, noop, vmdk, vmdkPerLocal, vmdkPerNoop }: DockerFigures): readonly Row[] {
  return [
    row('docker volume create (ms)', ms(vmdk.create), `local ${ms(local.create)}; no-op ${ms(noop.create)}`),
    row('docker run --rm (ms)', ms(vmdk.run), `local ${ms(local.run)}; no-op ${ms(noop.run)}`),
    row('docker volume rm (ms)', ms(vmdk.remove), `local ${ms(local.remove)}; no-op ${ms(noop.remove)}`),
    row('all three (ms), to local', ms(vmdk.total), ms(local.total), `${short(vmdkPerLocal)} x`, {
      text: '<= 1.10 x local',
      isMet: vmdkPerLocal <= 1.1,
    }),
    row('all three (ms), to no-op', ms(vmdk.total), ms(noop.total), `${short(vmdkPerNoop)} x`),
  ];
}

function startRow(start: Summary): Row {
  return row('start to first answer (ms)', ms(start), '', '', { text: '<= 300 ms', isMet: start.p50 <= 300 });
}

function footprintRows({ idle, warm, halfway, after, cycles }: Footprint): readonly Row[] {
  const growth = after.rssMib - warm.rssMib;
  const more = { descriptors: after.descriptors - warm.descriptors, threads: after.threads - warm.threads };
  const course = `${short(idle.rssMib)} idle, ${short(warm.rssMib)} warm, ${short(halfway.rssMib)} halfway, ${short(after.rssMib)} after`;
  return [
    row('RSS, idle (MiB)', short(idle.rssMib), '', '', { text: '<= 90 MiB', isMet: idle.rssMib <= 90 }),
    row(`RSS, more after ${String(cycles)} cycles (MiB)`, short(growth), course, '', {
      text: '<= 5 MiB more than warm',
      isMet: growth <= 5,
    }),
    row(
      'descriptors, threads more',
      `${String(more.descriptors)}, ${String(more.threads)}`,
      `of ${String(warm.descriptors)}, ${String(warm.threads)}`,
      '',
      {
        text: 'none more',
        isMet: more.descriptors <= 0 && more.threads <= 0,
      },
    ),
  ];
}
