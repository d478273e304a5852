/**
 * `npm run bench`: the product beside the floor of the same machine and beside its peers, all from one run, as a table
 * with what was aimed at. Everything that it starts, mounts or writes is gone at its end, also after Ctrl-C.
 *
 *   npm run bench -- [--quick] [--json FILE] [--dir FOLDER] [--only PART,PART]
 *
 *   --quick   a few of everything in about twenty seconds: shows that it works, not how fast
 *   --json    all figures
 *   --dir     where the disks are; a real file system, not one in memory
 *   --only    of start, footprint, steps, cycles, commands, reads, readers, scale, batch, recovery, docker
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deadline } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import { mkfsArguments, mkfsTool } from '../../plugin/adapters/mkfs.ts';
import type { Bench } from './bench.ts';
import type { Figures } from './figures.ts';
import { Floor } from './floor.ts';
import { describeMachine, load, type Machine } from './machine.ts';
import { measureBatch } from './measure-batch.ts';
import { measureDocker } from './measure-docker.ts';
import {
  measureCommands,
  measureCycles,
  measureFootprint,
  measureReads,
  measureStart,
  measureSteps,
} from './measure-plugin.ts';
import { measureReaders } from './measure-readers.ts';
import { measureRecovery } from './measure-recovery.ts';
import { measureScale } from './measure-scale.ts';
import { type Part, readSettings, type Settings } from './settings.ts';
import { tableOf } from './table.ts';
import { TestBed } from './test-bed.ts';
import { rowsOf } from './verdicts.ts';

const wholeRunMs = 25 * 60_000;
const batchedAttaches = 32;
const mkfs = [mkfsTool('ext4'), ...mkfsArguments('ext4', 'bench', 'DEVICE')];

const stopped = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => stopped.abort(new Error(`stopped by ${name}`)));
}
try {
  await main(readSettings(process.argv.slice(2), join(import.meta.dirname, '../..')));
} catch (error) {
  console.error(`bench: ${messageOf(stopped.signal.aborted ? stopped.signal.reason : error)}`);
  process.exitCode = 1;
}

async function main(settings: Settings): Promise<void> {
  using limit = deadline(wholeRunMs, 'the benchmark', stopped.signal);
  const began = performance.now();
  const loadBefore = load();
  let machine: Machine;
  let figures: Figures;
  {
    await using bed = await TestBed.open(settings.folder);
    machine = await describeMachine(bed.folder);
    const floor = await Floor.prepare(bed, mkfs, limit.signal);
    figures = await measure({ bed, floor, counts: settings.counts, signal: limit.signal }, settings.parts);
  }
  const seconds = Math.round((performance.now() - began) / 1000);
  const about = { machine, loadBefore, loadAfter: load(), seconds, isQuick: settings.isQuick };
  report(about, figures);
  if (settings.jsonFile !== undefined) {
    await writeFile(
      settings.jsonFile,
      `${JSON.stringify({ ...about, figures, rows: rowsOf(figures) }, undefined, 2)}\n`,
    );
  }
}

async function measure(bench: Bench, parts: readonly Part[]): Promise<Figures> {
  const measures: Readonly<Record<Part, () => Promise<unknown>>> = {
    start: () => measureStart(bench),
    footprint: () => measureFootprint(bench),
    steps: () => measureSteps(bench),
    cycles: () => measureCycles(bench),
    commands: () => measureCommands(bench),
    reads: () => measureReads(bench),
    readers: () => measureReaders(bench),
    scale: () => measureScale(bench),
    batch: () => measureBatch(batchedAttaches, bench.signal),
    recovery: () => measureRecovery(bench),
    docker: () => measureDocker(bench.counts.dockerRounds, mkfs, bench.signal),
  };
  const figures: Partial<Record<Part, unknown>> = {};
  for (const part of parts) {
    console.error(`bench: ${part}`);
    figures[part] = await measures[part]();
  }
  return figures as Figures;
}

interface About {
  readonly machine: Machine;
  readonly loadBefore: number;
  readonly loadAfter: number;
  readonly seconds: number;
  readonly isQuick: boolean;
}

function report({ machine, loadBefore, loadAfter, seconds, isQuick }: About, figures: Figures): void {
  const rows = rowsOf(figures);
  const judged = rows.filter(({ isMet }) => isMet !== undefined);
  const met = judged.filter(({ isMet }) => isMet === true);
  console.log(
    [
      tableOf(rows),
      '',
      `${String(met.length)} of ${String(judged.length)} targets met, in ${String(seconds)} s` +
        (isQuick ? '; a quick run shows that it works, not how fast' : ''),
      `machine   ${machine.processors}, ${String(machine.memoryGib)} GiB (${String(machine.freeGib)} free), load ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after`,
      `system    Linux ${machine.kernel}, Node ${machine.node}, ${machine.dockerd}`,
      `disks on  ${machine.fileSystem}`,
      `floor     what test/bench/floor.c says it includes, with "${mkfs.join(' ')}"; ratios are medians over rounds in turns`,
    ].join('\n'),
  );
}
