/** What a run measures and how often. Invariant: a quick run takes the same ways as a full one, only fewer times. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';

export const parts = [
  'start',
  'footprint',
  'steps',
  'cycles',
  'commands',
  'reads',
  'readers',
  'scale',
  'batch',
  'recovery',
  'docker',
] as const;
export type Part = (typeof parts)[number];

export interface Counts {
  readonly starts: number;
  readonly idleMs: number;
  readonly warmCycles: number;
  readonly leakCycles: number;
  readonly stepRounds: number;
  readonly volumesPerRound: number;
  readonly cycleRounds: number;
  /** Cycles of one round, by the number of clients. */
  readonly cycles: ReadonlyMap<number, number>;
  readonly gets: number;
  /** Sizes of the catalog, and how many lists are asked of each. */
  readonly lists: ReadonlyMap<number, number>;
  readonly readers: ReaderCounts;
  readonly scale: ScaleCounts;
  readonly recovery: { readonly known: number; readonly mounted: number; readonly rounds: number };
  readonly dockerRounds: number;
}

export interface ReaderCounts {
  readonly volumes: number;
  /** Who ask. */
  readonly clients: number;
  readonly rounds: number;
  /** How long they ask, idle and under each load. */
  readonly windowMs: number;
  readonly clones: number;
  readonly mounts: number;
  /** Enough data in what is cloned that the clones outlast the window. */
  readonly sourceBytes: number;
}

export interface ScaleCounts {
  readonly few: number;
  readonly many: number;
  readonly starts: number;
  readonly lists: number;
  readonly rounds: number;
  readonly volumesPerRound: number;
  /** Of the volume that is created and cloned while others list. */
  readonly bigSize: string;
  readonly bigRounds: number;
}

export interface Settings {
  readonly counts: Counts;
  readonly isQuick: boolean;
  readonly jsonFile: string | undefined;
  /** All files of the run are below it: disks of the product and of the floor on one real file system. */
  readonly folder: string;
  readonly parts: readonly Part[];
}

const full: Counts = {
  starts: 15,
  idleMs: 3000,
  warmCycles: 100,
  leakCycles: 1000,
  stepRounds: 10,
  volumesPerRound: 20,
  cycleRounds: 3,
  cycles: new Map([
    [1, 40],
    [8, 160],
    [32, 320],
    [100, 400],
  ]),
  gets: 3000,
  lists: new Map([
    [100, 1000],
    [10_000, 100],
  ]),
  readers: {
    volumes: 1000,
    clients: 8,
    rounds: 5,
    windowMs: 3000,
    clones: 32,
    mounts: 100,
    sourceBytes: 256 * 1024 ** 2,
  },
  scale: {
    few: 100,
    many: 10_000,
    starts: 3,
    lists: 200,
    rounds: 10,
    volumesPerRound: 10,
    bigSize: '2gb',
    bigRounds: 3,
  },
  recovery: { known: 10_000, mounted: 1_000, rounds: 3 },
  dockerRounds: 40,
};

const quick: Counts = {
  starts: 2,
  idleMs: 300,
  warmCycles: 16,
  leakCycles: 32,
  stepRounds: 2,
  volumesPerRound: 4,
  cycleRounds: 1,
  cycles: new Map([
    [1, 4],
    [8, 16],
    [32, 32],
    [100, 100],
  ]),
  gets: 200,
  lists: new Map([
    [100, 50],
    [2_000, 5],
  ]),
  readers: {
    volumes: 1000,
    clients: 8,
    rounds: 1,
    windowMs: 400,
    clones: 8,
    mounts: 25,
    sourceBytes: 32 * 1024 ** 2,
  },
  scale: { few: 100, many: 1_000, starts: 1, lists: 20, rounds: 2, volumesPerRound: 4, bigSize: '128mb', bigRounds: 1 },
  recovery: { known: 500, mounted: 20, rounds: 1 },
  dockerRounds: 1,
};

/** @throws Error in a sentence that says what is allowed */
export function readSettings(args: readonly string[], root: string): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      dir: { type: 'string', default: join(root, 'build/bench') },
      only: { type: 'string', default: parts.join(',') },
    },
  });
  const wanted = values.only.split(',');
  const unknown = wanted.filter((part) => !parts.some((known) => known === part));
  if (unknown.length > 0) throw new Error(`--only knows no ${unknown.join(', ')}; it knows ${parts.join(', ')}`);
  return {
    counts: values.quick ? quick : full,
    isQuick: values.quick,
    jsonFile: values.json,
    folder: values.dir,
    parts: parts.filter((part) => wanted.includes(part)),
  };
}
