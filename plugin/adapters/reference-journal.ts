/**
 * The reference log's lines. Pure. Invariants: a line that was cut short or altered is never taken for a change; what
 * `compacted` gives means the same as what it was given, with nothing in it that later changes made void.
 */
import { crc32 } from 'node:zlib';
import { type FullName, parseFullName } from '../../common/names.ts';
import type { ReferenceChange } from '../ports/reference-log.ts';

/** Of the file. Whatever a later one holds, its first line says its version and its boot as this one's does. */
export const journalVersion = 1;

export type JournalContent =
  | { readonly kind: 'changes'; readonly changes: readonly ReferenceChange[]; readonly damagedLines: number }
  | { readonly kind: 'unreadable'; readonly why: string }
  /** Of this boot, and written by a later release. */
  | { readonly kind: 'newer'; readonly version: number }
  /** Never begun, or of another boot, whose mounts are gone. */
  | { readonly kind: 'outdated' };

export function headerLine(bootId: string): string {
  return sealed({ version: journalVersion, bootId });
}

export function changeLine(change: ReferenceChange): string {
  return sealed(change);
}

/** Reads a whole file. A last line without its end was never acknowledged, so it is nobody's loss. */
export function readJournal(text: string, bootId: string): JournalContent {
  // The file gets its name with its first line in it, so only an empty one was never begun.
  if (text === '') return { kind: 'outdated' };
  const [first = '', ...lines] = text.split('\n').slice(0, -1);
  const header = opened(first);
  if (header === undefined) return { kind: 'unreadable', why: 'its first line is damaged' };
  const version = header['version'];
  if (typeof version !== 'number') return { kind: 'unreadable', why: 'its first line has no format version' };
  if (header['bootId'] !== bootId) return { kind: 'outdated' };
  if (version > journalVersion) return { kind: 'newer', version };
  const changes = lines.map((line) => changeOf(opened(line)));
  const sound = changes.filter((change) => change !== undefined);
  return { kind: 'changes', changes: sound, damagedLines: changes.length - sound.length };
}

/** The same references, oldest first, without what cancels out. */
export function compacted(changes: readonly ReferenceChange[]): readonly ReferenceChange[] {
  const live = new Map<FullName, ReferenceChange[]>();
  for (const change of changes) {
    const ofVolume = live.get(change.volume) ?? [];
    if (change.do === 'clear') live.delete(change.volume);
    else if (change.do === 'add') live.set(change.volume, [...ofVolume, change]);
    else {
      const place = ofVolume.findIndex((earlier) => earlier.do === 'add' && earlier.id === change.id);
      if (place !== -1) live.set(change.volume, ofVolume.toSpliced(place, 1));
    }
  }
  return [...live.values()].flat();
}

function sealed(value: object): string {
  const text = JSON.stringify(value);
  return `${checksum(text)} ${text}\n`;
}

function opened(line: string): Readonly<Record<string, unknown>> | undefined {
  const text = line.slice(9);
  if (line.slice(0, 9) !== `${checksum(text)} `) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Damage that its checksum happens to fit: an empty text's is 0.
    return undefined;
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

function changeOf(value: Readonly<Record<string, unknown>> | undefined): ReferenceChange | undefined {
  const volume = value?.['volume'];
  const id = value?.['id'];
  if (value === undefined || typeof volume !== 'string' || !isFullName(volume)) return undefined;
  if (value['do'] === 'clear') return { do: 'clear', volume };
  if ((value['do'] === 'add' || value['do'] === 'remove') && typeof id === 'string')
    return { do: value['do'], volume, id };
  return undefined;
}

function isFullName(text: string): text is FullName {
  try {
    parseFullName(text);
    return true;
  } catch {
    return false;
  }
}
