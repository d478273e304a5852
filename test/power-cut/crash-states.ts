/**
 * The trees that a power cut at one moment may leave. Invariants: the trees of journalled folders come first, so that a
 * tree which both kinds of folders may leave counts as one of those; each tree comes once; where there are more than the
 * limit, the oldest and the newest state are there, and the rest is a sample that the seed alone decides.
 */
import { closeSync, ftruncateSync, linkSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../soak/random.ts';
import { blockBytes, type DiskModel, type NameChange, namesAfter } from './disk-model.ts';
import { type Content, contentsOf } from './file-states.ts';

export interface Tree {
  readonly isJournalled: boolean;
  /** Parents before their children. */
  readonly entries: readonly TreeEntry[];
  readonly key: string;
}

interface TreeEntry {
  readonly path: string;
  readonly file: number;
  /** Undefined for a folder. */
  readonly content: Content | undefined;
}

export interface TreeLimits {
  readonly contentsPerFile: number;
  readonly treesPerMoment: number;
}

/** One way in which each folder and each file may have been kept; and which of them the tree picks. */
type Dimension = readonly [owner: number, options: readonly unknown[]];
type Picked = ReadonlyMap<number, unknown>;

export function treesOf(disk: DiskModel, limits: TreeLimits, random: Random): readonly Tree[] {
  const found = new Map<string, Tree>();
  const files = [...disk.files].filter(([file]) => isNamed(disk, file));
  const contents = files.map(([file, state]): Dimension => [file, contentsOf(state, limits.contentsPerFile)]);
  for (const isJournalled of [true, false]) {
    const folders = [...disk.folders].map(([folder, { since }]): Dimension => {
      return [folder, isJournalled ? prefixesOf(since) : subsetsOf(since, limits.treesPerMoment, random)];
    });
    for (const picked of picks([...folders, ...contents], limits.treesPerMoment, random)) {
      const tree = treeOf(disk, picked, isJournalled);
      if (!found.has(tree.key)) found.set(tree.key, tree);
    }
  }
  return [...found.values()];
}

/** The only tree of a disk that was flushed, or of a process that was killed while its machine went on. */
export function flushedTree(disk: DiskModel): Tree {
  const folders = Array.from(disk.folders, ([folder, { since }]) => [folder, since] as const);
  const files = Array.from(disk.files, ([file, state]) => {
    const { kept, since } = state;
    const whole = since.length === 0 ? state : { kept: [...kept, ...since], since: [] };
    return [file, contentsOf(whole, 1)[0]] as const;
  });
  return treeOf(disk, new Map<number, unknown>([...folders, ...files]), true);
}

/** Whether the file may have a name after the cut. */
function isNamed(disk: DiskModel, file: number): boolean {
  return [...disk.folders.values()].some(
    ({ kept, since }) => [...kept.values()].includes(file) || since.flat().some(([, named]) => named === file),
  );
}

function prefixesOf(changes: readonly NameChange[]): readonly (readonly NameChange[])[] {
  return Array.from({ length: changes.length + 1 }, (_, length) => changes.slice(0, length));
}

/** All of them, or those that lack one or two changes, have one or two, and a sample. */
function subsetsOf(changes: readonly NameChange[], limit: number, random: Random): readonly (readonly NameChange[])[] {
  const { length } = changes;
  if (2 ** length <= limit) {
    return Array.from({ length: 2 ** length }, (_, mask) => changes.filter((_, bit) => (mask & (1 << bit)) !== 0));
  }
  const single = changes.flatMap((change) => [[change], changes.filter((other) => other !== change)]);
  const samples = Array.from({ length: limit }, () => changes.filter(() => random.chance(0.5)));
  return [[], changes, ...single, ...samples];
}

function picks(dimensions: readonly Dimension[], limit: number, random: Random): readonly Picked[] {
  const count = dimensions.reduce((product, [, options]) => product * options.length, 1);
  if (count <= limit) {
    return dimensions.reduce<readonly Picked[]>(
      (all, [owner, options]) => all.flatMap((pick) => options.map((option) => new Map([...pick, [owner, option]]))),
      [new Map()],
    );
  }
  const pickBy = (choose: (options: readonly unknown[]) => unknown): Picked =>
    new Map(dimensions.map(([owner, options]) => [owner, choose(options)]));
  const corners = [pickBy((options) => options[0]), pickBy((options) => options.at(-1))];
  // Each option of each dimension at least once, the rest of the tree being new or anything.
  const each = dimensions.flatMap(([owner, options]) =>
    options.length === 1 ? [] : options.map((option) => new Map([...pickBy((from) => from.at(-1)), [owner, option]])),
  );
  const rest = Math.max(0, limit - each.length - corners.length);
  const samples = Array.from({ length: rest }, () => pickBy((options) => random.pickAny(options)));
  return [...corners, ...each.slice(0, limit), ...samples];
}

function treeOf(disk: DiskModel, picked: Picked, isJournalled: boolean): Tree {
  const entries: TreeEntry[] = [];
  const walk = (folder: number, path: string): void => {
    const kept = disk.folders.get(folder)?.kept ?? new Map<string, number>();
    const names = namesAfter(kept, picked.get(folder) as readonly NameChange[]);
    for (const [name, file] of [...names].toSorted(([one], [other]) => (one < other ? -1 : 1))) {
      const content = picked.get(file) as Content | undefined;
      const isFolder = disk.folders.has(file);
      entries.push({ path: join(path, name), file, content: isFolder ? undefined : content });
      if (isFolder) walk(file, join(path, name));
    }
  };
  walk(0, '');
  const key = entries.map(({ path, file, content }) => `${path}\0${file}\0${content?.key ?? ''}`).join('\n');
  return { isJournalled, entries, key };
}

/** Makes the tree in an empty folder. */
export function materialise(tree: Tree, folder: string): void {
  const made = new Map<number, string>();
  for (const { path, file, content } of tree.entries) {
    const target = join(folder, path);
    const same = made.get(file);
    if (same !== undefined) linkSync(same, target);
    else if (content) writeContent(target, content);
    else mkdirSync(target, { mode: 0o700 });
    made.set(file, target);
  }
}

function writeContent(path: string, { bytes, blocks }: Content): void {
  const handle = openSync(path, 'wx', 0o600);
  try {
    ftruncateSync(handle, bytes.length);
    const sorted = [...blocks].sort((one, other) => one - other);
    for (let first = 0, next = 1; first < sorted.length; first = next, next += 1) {
      while (sorted[next] === (sorted[next - 1] ?? 0) + 1) next += 1;
      const start = (sorted[first] ?? 0) * blockBytes;
      writeSync(handle, bytes, start, Math.min((next - first) * blockBytes, bytes.length - start), start);
    }
  } finally {
    closeSync(handle);
  }
}
