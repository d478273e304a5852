/**
 * Pauses between tries: each twice as long as the one before, up to the last; each shortened at random by up to half, so
 * that those who failed together do not come back together. Invariant: none is longer than `maxMs`, nor shorter than
 * half of the smaller bound.
 */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * @param failures in a row before this pause, not counting the one that it follows
 * @param random from 0 up to 1
 */
export function backoffMs({ minMs, maxMs }: Backoff, failures: number, random = Math.random()): number {
  return Math.min(maxMs, minMs * 2 ** failures) * (1 - random / 2);
}
