/** All that a run found out. Absent: that part was not asked for. Milliseconds and MiB unless a name says otherwise. */
import type { ProcessState } from './product.ts';
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

export interface Figures {
  readonly start?: Summary;
  readonly footprint?: Footprint;
  readonly steps?: Readonly<Partial<Record<Step, Compared>>>;
  readonly cycles?: readonly CyclesAt[];
  readonly commands?: readonly CommandsOf[];
  readonly reads?: readonly ReadsWith[];
  readonly docker?: DockerFigures;
}
