/**
 * Loaded into a daemon before its own code: at SIGUSR2 it collects all garbage and writes what is left, whole or not at
 * all, into the file that BENCH_HEAP names.
 */
import { renameSync, writeFileSync } from 'node:fs';
import process from 'node:process';

export interface HeapState {
  /** Objects, and the memory outside of the heap that they own. */
  readonly usedBytes: number;
  readonly rssBytes: number;
}

process.on('SIGUSR2', () => {
  const file = process.env['BENCH_HEAP'] ?? '';
  for (let pass = 0; pass < 3; pass++) globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  const state: HeapState = { usedBytes: heapUsed + external, rssBytes: rss };
  writeFileSync(`${file}.new`, JSON.stringify(state));
  renameSync(`${file}.new`, file);
});
