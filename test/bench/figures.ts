/** All that a run found out. Absent: that part was not asked for. Milliseconds and MiB unless a name says otherwise. */
import type { ProcessState } from './measured-process.ts';
import type { Summary } from './statistics.ts';
import type { Step } from './step-times.ts';

/** One step here and there. The comparisons are medians over the rounds, each of which measured both. */
export interface Compared {
  readonly product: Summary;
  readonly floor: Summary;
  readonly ratio: number;
  readonly difference: number;
}

export interface CyclesAt {
  readonly clients: number;
  readonly productPerSecond: number;
  readonly floorPerSecond: number;
  /** Median over the rounds of product per floor. */
  readonly ratio: number;
  readonly productErrors: number;
  readonly floorErrors: number;
  /** Each step's time at this number of clients. */
  readonly steps: Readonly<Partial<Record<Step, Compared>>>;
}

export interface Footprint {
  readonly idle: ProcessState;
  /** After so many cycles that every thread and cache is there. */
  readonly warm: ProcessState;
  /** After half of the cycles that follow, and after all: what leaks grows in both halves, what only gets warm does not. */
  readonly halfway: ProcessState;
  readonly after: ProcessState;
  readonly cycles: number;
}

export interface CommandsOf {
  readonly request: string;
  readonly expected: number;
  readonly sent: Readonly<Record<string, number>>;
}

export interface ReadsWith {
  readonly volumes: number;
  readonly startMs: number;
  readonly rssMib: number;
  readonly get: Summary;
  readonly list: Summary;
}

export interface DockerRuns {
  readonly create: Summary;
  readonly run: Summary;
  readonly remove: Summary;
  readonly total: Summary;
}

export interface DockerFigures {
  readonly local: DockerRuns;
  readonly noop: DockerRuns;
  readonly vmdk: DockerRuns;
  /** Medians over the rounds of the whole `volume create`, `run --rm`, `volume rm`. */
  readonly vmdkPerLocal: number;
  readonly vmdkPerNoop: number;
}

/** A percentile of readers that have the service to themselves, and of the same readers beside other work. */
export interface Disturbed {
  readonly idleMs: number;
  readonly loadedMs: number;
  /** Median over the rounds. */
  readonly ratio: number;
  readonly samples: number;
}

/** `cycling`: each mount is followed by its unmount and the next; `waiting`: each waits for its file system to be made. */
export type MountLoad = 'cycling' | 'waiting';

export interface ReadersBeside {
  /** `nothing`: a server that does nothing but answer, beside the load of the service apart. */
  readonly server: 'embedded' | 'apart' | 'nothing';
  readonly mounts: MountLoad;
  readonly list: Disturbed;
  readonly get: Disturbed;
  /** While the readers asked. */
  readonly mountsPerSecond: number;
  /** Of those that should have been in progress all the time. */
  readonly clonesEnded: number;
}

export interface ReaderFigures {
  readonly volumes: number;
  readonly clones: number;
  readonly mounts: number;
  readonly beside: readonly ReadersBeside[];
}

export interface Memory {
  readonly heapBytes: number;
  readonly rssBytes: number;
}

export interface ScaleFigures {
  readonly few: number;
  readonly many: number;
  readonly serviceStart: Summary;
  readonly firstList: Summary;
  readonly list: Summary;
  readonly changedList: Summary;
  /** The few in the floor's place. */
  readonly steps: Readonly<Partial<Record<Step, Compared>>>;
  /** More for each volume more, after a collection of garbage. */
  readonly perVolume: { readonly plugin: Memory; readonly service: Memory };
  readonly bigSize: string;
  readonly besideCreate: Disturbed;
  readonly besideClone: Disturbed;
}

export interface CallsOf {
  readonly calls: number;
  readonly wallMs: number;
}

export interface BatchFigures {
  readonly attaches: number;
  /** That the hypervisor takes for each call. */
  readonly callMs: number;
  readonly oneByOne: CallsOf;
  readonly batched: CallsOf;
}

export interface RecoveryFigures {
  readonly known: number;
  readonly mounted: number;
  readonly plugin: Summary;
  readonly service: Summary;
}

export interface Figures {
  readonly recovery?: RecoveryFigures;
  readonly start?: Summary;
  readonly footprint?: Footprint;
  readonly steps?: Readonly<Partial<Record<Step, Compared>>>;
  readonly cycles?: readonly CyclesAt[];
  readonly commands?: readonly CommandsOf[];
  readonly reads?: readonly ReadsWith[];
  readonly readers?: ReaderFigures;
  readonly scale?: ScaleFigures;
  readonly batch?: BatchFigures;
  readonly docker?: DockerFigures;
}
