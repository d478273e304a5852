/** The rows of what is measured of service and plugin under load and at scale. Pure. */
import type {
  BatchFigures,
  CallsOf,
  Disturbed,
  Memory,
  ReaderFigures,
  ReadersBeside,
  RecoveryFigures,
  ScaleFigures,
} from './figures.ts';
import { atMost, ms, type Row, row, short } from './rows.ts';
import { steps, type Step } from './step-times.ts';

export function readerRows({ volumes, clones, mounts, beside }: ReaderFigures): readonly Row[] {
  return beside.flatMap((at) => {
    const among = `${at.server}, ${String(clones)} clones, ${String(mounts)} mounts ${at.mounts}`;
    const isProduct = at.server !== 'nothing';
    const of = (title: string, { loadedMs, idleMs, ratio }: Disturbed): Row =>
      row(
        `${title} p99, ${among} (ms)`,
        short(loadedMs),
        `idle ${short(idleMs)}`,
        `${short(ratio)} x`,
        isProduct ? atMost(ratio, 1.5, 'x idle') : undefined,
      );
    const rows = [of(`List of ${String(volumes)}`, at.list), of('Get', at.get)];
    return isProduct ? [...rows, loadRow(at, among)] : rows;
  });
}

function loadRow({ mountsPerSecond, clonesEnded, mounts }: ReadersBeside, among: string): Row {
  const cycled = mounts === 'cycling' ? `${short(mountsPerSecond)} mounts/s, ` : '';
  return row(`  meanwhile, ${among}`, `${cycled}${String(clonesEnded)} clones ended`);
}

const changeTitles: Partial<Record<Step, string>> = { create: 'Create', mount: 'later Mount', remove: 'Remove' };

export function scaleRows(scale: ScaleFigures): readonly Row[] {
  const { few, many, serviceStart, firstList, list, changedList, perVolume, bigSize } = scale;
  const among = `${String(many)} volumes`;
  return [
    row(`start of the service, ${among} (ms)`, ms(serviceStart), '', '', atMost(serviceStart.p50, 5000, 'ms')),
    row(`plugin's start to first List, ${among} (ms)`, ms(firstList), '', '', atMost(firstList.p50, 1000, 'ms')),
    row(`List, ${among} (ms)`, ms(list), '', '', atMost(list.p50, 30, 'ms')),
    row(`List after each change, ${among} (ms)`, ms(changedList), '', '', atMost(changedList.p50, 30, 'ms')),
    ...steps.flatMap((step) => {
      const [title, found] = [changeTitles[step], scale.steps[step]];
      if (title === undefined || !found) return [];
      const other = `${String(few)} volumes: ${ms(found.floor)}`;
      const target = atMost(found.ratio, 1.3, `x of ${String(few)} volumes`);
      return [row(`${title}, ${among} (ms)`, ms(found.product), other, `${short(found.ratio)} x`, target)];
    }),
    memoryRow('plugin', perVolume.plugin),
    memoryRow('service', perVolume.service),
    besideRow(`List, ${among}, beside a create of ${bigSize} (ms)`, scale.besideCreate),
    besideRow(`List, ${among}, beside a clone of ${bigSize} (ms)`, scale.besideClone),
  ];
}

/** Judged by what the process keeps of the machine, which is the larger of the two. */
function memoryRow(side: string, { heapBytes, rssBytes }: Memory): Row {
  const kib = Math.max(heapBytes, rssBytes) / 1024;
  const other = `heap after collection ${short(heapBytes / 1024)}, RSS ${short(rssBytes / 1024)}`;
  return row(`memory per volume, ${side} (KiB)`, short(kib), other, '', atMost(kib, 4, 'KiB'));
}

function besideRow(title: string, { loadedMs, idleMs, ratio, samples }: Disturbed): Row {
  const other = `idle ${short(idleMs)}; ${String(samples)} lists`;
  return row(title, short(loadedMs), other, `${short(ratio)} x`, {
    text: 'as idle (<= 1.1 x)',
    isMet: ratio <= 1.1,
  });
}

export function recoveryRows({ known, mounted, plugin, service }: RecoveryFigures): readonly Row[] {
  const among = `${String(known)} volumes, ${String(mounted)} mounted`;
  return [
    row(`plugin killed, until it answers, ${among} (ms)`, ms(plugin), '', '', atMost(plugin.p50, 3000, 'ms')),
    row(`service killed, until it listens, ${among} (ms)`, ms(service), '', '', atMost(service.p50, 5000, 'ms')),
  ];
}

export function batchRow({ attaches, callMs, oneByOne, batched }: BatchFigures): Row {
  const told = ({ calls, wallMs }: CallsOf): string => `${String(calls)} calls, ${short(wallMs)} ms`;
  const title = `${String(attaches)} attaches to one VM, ${String(callMs)} ms a call`;
  const ratio = `${short(batched.wallMs / oneByOne.wallMs)} x`;
  return row(title, told(batched), `one by one: ${told(oneByOne)}`, ratio, atMost(batched.calls, 5, 'calls'));
}
