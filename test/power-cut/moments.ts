/**
 * A recording, cut at every operation. Invariants: each tree that a cut at some moment may leave is there once for each
 * stage, which is the number of marks before it; the model's own end is what the recorded program really left.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Random } from '../soak/random.ts';
import { flushedTree, materialise, type Tree, type TreeLimits, treesOf } from './crash-states.ts';
import { DiskModel } from './disk-model.ts';
import type { FileOperation } from './recording.ts';

/** Set where all that was done before is to count as flushed; it begins no stage. */
export const settledMark = 'settled';

export interface CutTree extends Tree {
  /** How many marks were set before the cut. */
  readonly stage: number;
  /** How many operations were done before the cut. */
  readonly operations: number;
  /** Whether the cut was of the program alone, so that everything that it did is there. */
  readonly isExact: boolean;
}

export interface Moments {
  /** The operations behind the first mark. */
  readonly operationCount: number;
  readonly trees: readonly CutTree[];
  /** At each mark, the tree in which all is kept. */
  readonly atMarks: readonly Tree[];
  readonly atEnd: Tree;
}

export function momentsOf(operations: readonly FileOperation[], limits: TreeLimits, seed: string): Moments {
  const disk = new DiskModel();
  const trees = new Map<string, CutTree>();
  const atMarks: Tree[] = [];
  let count = 0;
  for (const operation of operations) {
    disk.apply(operation);
    if (operation.do === 'mark' && operation.text === settledMark) {
      disk.flush();
      continue;
    }
    if (operation.do === 'mark') atMarks.push(flushedTree(disk));
    const stage = atMarks.length;
    if (stage === 0) continue;
    if (operation.do !== 'mark') count += 1;
    const add = (tree: Tree, isExact: boolean): void => {
      const key = `${stage}|${tree.key}`;
      if (!trees.has(key)) trees.set(key, { ...tree, stage, operations: count, isExact });
    };
    add(flushedTree(disk), true);
    for (const tree of treesOf(disk, limits, new Random(seed).fork(`${count}`))) add(tree, false);
  }
  return { operationCount: count, trees: [...trees.values()], atMarks, atEnd: flushedTree(disk) };
}

/** Asserts that the model followed all that the program did. */
export function assertFollowed(t: ExecutionContext, { atEnd }: Moments, folder: string): void {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted();
  t.deepEqual(
    atEnd.entries.map(({ path }) => path).toSorted(),
    found.filter((path) => path !== ''),
  );
  const numbers = new Map<number, number>();
  for (const { path, file, content } of atEnd.entries) {
    const { ino } = statSync(join(folder, path));
    t.is(numbers.get(file) ?? ino, ino, `${path} is another file than the model says`);
    numbers.set(file, ino);
    if (content) t.true(readFileSync(join(folder, path)).equals(content.bytes), `${path} has other bytes`);
  }
}

/** The tree in a folder of its own, for as long as the work takes. */
export async function inTree<T>(tree: Tree, parent: string, work: (folder: string) => Promise<T>): Promise<T> {
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'tree-'));
  try {
    materialise(tree, folder);
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function describeTree({ entries }: Tree): string {
  const lines = entries.map(
    ({ path, file, content }) =>
      `  ${path} = file ${file}${content ? `, ${content.bytes.length} bytes, ${content.blocks.size} blocks` : ''}`,
  );
  return lines.join('\n');
}
