/** Rounds of floor and product side by side, boiled down. Pure. */
import type { Compared, CyclesAt, Disturbed } from './figures.ts';
import type { Batch } from './floor.ts';
import { median, summary } from './statistics.ts';
import { type Step, steps } from './step-times.ts';

/** What was measured within a few seconds of each other, so that a drift of the machine hits both. */
export interface Round {
  readonly floor: Batch;
  readonly product: Batch;
}

export function compareSteps(rounds: readonly Round[]): Readonly<Partial<Record<Step, Compared>>> {
  const found = steps.flatMap((step) => {
    const compared = compareStep(rounds, step);
    return compared ? [[step, compared] as const] : [];
  });
  return Object.fromEntries(found);
}

function compareStep(rounds: readonly Round[], step: Step): Compared | undefined {
  const times = rounds
    .map(({ floor, product }) => ({ floor: floor.steps[step], product: product.steps[step] }))
    .filter(({ floor, product }) => floor.length > 0 && product.length > 0);
  if (times.length === 0) return undefined;
  return {
    product: summary(times.flatMap(({ product }) => product)),
    floor: summary(times.flatMap(({ floor }) => floor)),
    ratio: median(times.map(({ product, floor }) => median(product) / median(floor))),
    difference: median(times.map(({ product, floor }) => median(product) - median(floor))),
  };
}

export function compareCycles(clients: number, rounds: readonly Round[]): CyclesAt {
  return {
    clients,
    productPerSecond: median(rounds.map(({ product }) => perSecond(product))),
    floorPerSecond: median(rounds.map(({ floor }) => perSecond(floor))),
    ratio: median(rounds.map(({ floor, product }) => perSecond(product) / perSecond(floor))),
    productErrors: rounds.reduce((sum, { product }) => sum + product.errors, 0),
    floorErrors: rounds.reduce((sum, { floor }) => sum + floor.errors, 0),
    steps: compareSteps(rounds),
  };
}

/** Whole cycles only: one whose remove succeeded. */
function perSecond(batch: Batch): number {
  return batch.steps.remove.length / batch.wallSeconds;
}

export interface DisturbedRound {
  readonly idle: readonly number[];
  readonly loaded: readonly number[];
}

export function compareDisturbed(rounds: readonly DisturbedRound[], at: 'p50' | 'p99'): Disturbed {
  const times = rounds.map(({ idle, loaded }) => ({ idle: summary(idle), loaded: summary(loaded) }));
  return {
    idleMs: median(times.map(({ idle }) => idle[at])),
    loadedMs: median(times.map(({ loaded }) => loaded[at])),
    ratio: median(times.map(({ idle, loaded }) => loaded[at] / idle[at])),
    samples: times.reduce((sum, { loaded }) => sum + loaded.n, 0),
  };
}
