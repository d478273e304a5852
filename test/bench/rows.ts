/** The rows of a table, and how numbers are written in them. Pure. */
import type { Summary } from './statistics.ts';

export interface Row {
  readonly measure: string;
  readonly product: string;
  /** The floor's, or the peer's, of the same run. */
  readonly other: string;
  readonly ratio: string;
  readonly target: string;
  readonly isMet: boolean | undefined;
}

export interface Target {
  readonly text: string;
  readonly isMet: boolean;
}

/** Without a target it is for information. */
export function row(measure: string, product: string, other = '', ratio = '', target?: Target): Row {
  return { measure, product, other, ratio, target: target?.text ?? '', isMet: target?.isMet };
}

export function atMost(value: number, limit: number, unit: string): Target {
  return { text: `<= ${String(limit)} ${unit}`, isMet: value <= limit };
}

/** Median and 99th percentile. */
export function ms({ p50, p99 }: Summary): string {
  return `${short(p50)} / ${short(p99)}`;
}

/** Three digits that count. */
export function short(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
