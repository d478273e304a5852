/**
 * The contents that one file may have after a power cut, by the rules of disk-model.ts. Invariant: the oldest and the
 * newest content are always among them, and where there are more than asked for, the rest is a sample that the random
 * numbers, the same in each run, decide.
 */
import { createHash } from 'node:crypto';
import { Random } from '../soak/random.ts';
import { blockBytes, type FileState, sectorBytes } from './disk-model.ts';
import type { DataChange } from './recording.ts';

export interface Content {
  readonly bytes: Buffer;
  /** Numbers of the blocks that take space; the others are holes. */
  readonly blocks: ReadonlySet<number>;
  /** The same for equal contents. */
  readonly key: string;
}

/** One sector's bytes; undefined is a hole. */
type Sector = Buffer | undefined;

interface Choices {
  readonly base: Draft;
  /** All that a sector may be, the oldest first. */
  readonly sectors: ReadonlyMap<number, readonly Sector[]>;
  readonly sizes: readonly number[];
  readonly allocations: readonly (DataChange & { kind: 'allocate' })[];
}

interface Draft {
  readonly sectors: ReadonlyMap<number, Buffer>;
  readonly sizeBytes: number;
  readonly blocks: ReadonlySet<number>;
}

interface Choice {
  readonly sizeBytes: number;
  readonly isAllocated: boolean;
  readonly pick: (sector: number, versions: readonly Sector[]) => Sector;
}

/** What a block held before it was this file's. */
const stale = Buffer.alloc(sectorBytes, 'old bytes of somebody else\n');
const zeros = Buffer.alloc(sectorBytes);

/** Most files are the same from one moment to the next, and large. */
const known = new WeakMap<FileState, readonly Content[]>();

/** @param limit about how many; the same at each call of a program */
export function contentsOf(state: FileState, limit: number): readonly Content[] {
  const contents = known.get(state) ?? compute(state, limit);
  known.set(state, contents);
  return contents;
}

function compute(state: FileState, limit: number): readonly Content[] {
  const random = new Random(`${state.since.length} changes`);
  const choices = choicesOf(state);
  const found = new Map<string, Content>();
  for (const choice of pickChoices(choices, limit, random)) {
    const content = build(choices, choice);
    found.set(content.key, content);
  }
  return [...found.values()];
}

function pickChoices(choices: Choices, limit: number, random: Random): readonly Choice[] {
  const { sectors, sizes, allocations } = choices;
  const flags = allocations.length > 0 ? [false, true] : [false];
  const outer = sizes.flatMap((sizeBytes) => flags.map((isAllocated) => ({ sizeBytes, isAllocated })));
  const count = [...sectors.values()].reduce((product, versions) => product * versions.length, outer.length);
  if (count <= limit) {
    const picks = combinations([...sectors.keys()], sectors);
    return outer.flatMap((each) => picks.map((pick) => ({ ...each, pick: (sector: number) => pick.get(sector) })));
  }
  const first = outer[0] ?? { sizeBytes: 0, isAllocated: false };
  const last = outer.at(-1) ?? first;
  const newest: Choice['pick'] = (_, versions) => versions.at(-1);
  const corners: Choice[] = [
    { ...first, pick: (_, versions) => versions[0] },
    ...outer.map((each) => ({ ...each, pick: newest })),
    { ...last, pick: (_, versions) => versions[0] },
    { ...last, pick: (_, versions) => versions[Math.min(1, versions.length - 1)] },
    { ...last, pick: (sector, versions) => versions.at(sector % 2 === 0 ? -1 : 0) },
  ];
  const samples = Array.from({ length: Math.max(0, limit - corners.length) }, (): Choice => {
    const torn = random.pickAny([...sectors.keys()]) ?? 0;
    const isTorn = random.chance(0.3);
    const picked = new Map(Array.from(sectors, ([sector, versions]) => [sector, random.pickAny(versions)]));
    return {
      ...(random.pickAny(outer) ?? last),
      pick: (sector, versions) => (isTorn ? versions.at(sector < torn ? -1 : 0) : picked.get(sector)),
    };
  });
  return [...corners, ...samples];
}

function combinations(
  sectors: readonly number[],
  versions: ReadonlyMap<number, readonly Sector[]>,
): readonly ReadonlyMap<number, Sector>[] {
  return sectors.reduce<readonly ReadonlyMap<number, Sector>[]>(
    (picks, sector) =>
      picks.flatMap((pick) => (versions.get(sector) ?? []).map((bytes) => new Map([...pick, [sector, bytes]]))),
    [new Map()],
  );
}

function choicesOf({ kept, since }: FileState): Choices {
  const base = draftOf(kept);
  const sectors = new Map<number, Sector[]>();
  const sizes = new Set([base.sizeBytes]);
  const isOld = (sector: number): boolean => base.blocks.has(Math.floor((sector * sectorBytes) / blockBytes));
  const note = (sector: number, bytes: Buffer): void => {
    const before = base.sectors.get(sector);
    const start = isOld(sector) ? [before ?? zeros] : [undefined, stale];
    const versions = sectors.get(sector) ?? start;
    if (!versions.some((version) => version?.equals(bytes))) versions.push(bytes);
    sectors.set(sector, versions);
  };
  let now = base;
  for (const change of since) {
    const next = draftOf([change], now);
    for (const sector of touched(change, now.sizeBytes, next.sizeBytes))
      note(sector, next.sectors.get(sector) ?? zeros);
    sizes.add(next.sizeBytes);
    now = next;
  }
  const allocations = since.filter((change) => change.kind === 'allocate');
  return { base, sectors, sizes: [...sizes], allocations };
}

/** A growing size changes no bytes; a falling one gives those behind it up. */
function touched(change: DataChange, before: number, after: number): readonly number[] {
  const range = (start: number, end: number): readonly number[] => {
    const first = Math.floor(start / sectorBytes);
    return Array.from({ length: Math.max(0, Math.ceil(end / sectorBytes) - first) }, (_, index) => first + index);
  };
  if (change.kind === 'write') return range(change.offset, change.offset + change.bytes.length);
  return change.kind === 'size' ? range(after, before) : [];
}

function draftOf(changes: readonly DataChange[], from?: Draft): Draft {
  const sectors = new Map(from?.sectors);
  const blocks = new Set(from?.blocks);
  let sizeBytes = from?.sizeBytes ?? 0;
  for (const change of changes) {
    if (change.kind === 'write') {
      writeInto(sectors, change.offset, change.bytes);
      addBlocks(blocks, change.offset, change.bytes.length);
      sizeBytes = Math.max(sizeBytes, change.offset + change.bytes.length);
    } else if (change.kind === 'allocate') {
      addBlocks(blocks, change.offset, change.lengthBytes);
      sizeBytes = Math.max(sizeBytes, change.offset + change.lengthBytes);
    } else {
      for (const sector of sectors.keys()) cutSector(sectors, sector, change.sizeBytes);
      for (const block of blocks) if (block * blockBytes >= change.sizeBytes) blocks.delete(block);
      ({ sizeBytes } = change);
    }
  }
  return { sectors, sizeBytes, blocks };
}

function writeInto(sectors: Map<number, Buffer>, offset: number, bytes: Buffer): void {
  for (let place = offset; place < offset + bytes.length;) {
    const sector = Math.floor(place / sectorBytes);
    const end = Math.min((sector + 1) * sectorBytes, offset + bytes.length);
    const whole = Buffer.from(sectors.get(sector) ?? zeros);
    bytes.copy(whole, place - sector * sectorBytes, place - offset, end - offset);
    sectors.set(sector, whole);
    place = end;
  }
}

function cutSector(sectors: Map<number, Buffer>, sector: number, sizeBytes: number): void {
  const left = sizeBytes - sector * sectorBytes;
  if (left <= 0) sectors.delete(sector);
  else if (left < sectorBytes) sectors.set(sector, Buffer.concat([sectors.get(sector) ?? zeros], left));
  const cut = sectors.get(sector);
  if (cut && cut.length < sectorBytes) sectors.set(sector, Buffer.concat([cut, zeros], sectorBytes));
}

function addBlocks(blocks: Set<number>, offset: number, lengthBytes: number): void {
  const end = Math.ceil((offset + lengthBytes) / blockBytes);
  for (let block = Math.floor(offset / blockBytes); block < end; block += 1) blocks.add(block);
}

function build({ base, sectors, allocations }: Choices, { sizeBytes, isAllocated, pick }: Choice): Content {
  const blocks = new Set(base.blocks);
  const bytes = Buffer.alloc(sizeBytes);
  const put = (sector: number, data: Buffer): void => {
    if (sector * sectorBytes < sizeBytes) data.copy(bytes, sector * sectorBytes);
  };
  for (const [sector, data] of base.sectors) put(sector, data);
  for (const [sector, versions] of sectors) {
    const picked = pick(sector, versions);
    if (!picked) continue;
    put(sector, picked);
    blocks.add(Math.floor((sector * sectorBytes) / blockBytes));
  }
  if (isAllocated) for (const { offset, lengthBytes } of allocations) addBlocks(blocks, offset, lengthBytes);
  for (const block of blocks) if (block * blockBytes >= sizeBytes) blocks.delete(block);
  const places = [...blocks].sort((one, other) => one - other).join();
  return { bytes, blocks, key: createHash('sha1').update(places).update('|').update(bytes).digest('hex') };
}
