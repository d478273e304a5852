/** What a list of measurements says. Pure; an empty list has no summary and is a mistake of its maker. */
export interface Summary {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
}

export function summary(values: readonly number[]): Summary {
  const sorted = values.toSorted((one, other) => one - other);
  return { n: sorted.length, p50: middle(sorted), p99: at(sorted, Math.ceil(sorted.length * 0.99) - 1) };
}

export function median(values: readonly number[]): number {
  return middle(values.toSorted((one, other) => one - other));
}

function middle(sorted: readonly number[]): number {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? at(sorted, half) : (at(sorted, half - 1) + at(sorted, half)) / 2;
}

function at(sorted: readonly number[], place: number): number {
  const value = sorted[place];
  if (value === undefined) throw new Error('there is nothing to summarise');
  return value;
}
