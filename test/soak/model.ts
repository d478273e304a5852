/**
 * What must be true. Invariants: it holds a reference exactly from the answer to its Mount until its Unmount is sent;
 * where requests on one volume overlapped so that either order was right, it says *unknown* instead of guessing, and
 * a quiet point tells it. Pure: no I/O.
 */
import type { Roster, VolumeId } from './roster.ts';
import type { Options } from './step.ts';

export interface FileRecord {
  /** Full name of the volume that it was written to; clones have files of their source. */
  readonly volume: string;
  readonly writer: string;
  readonly sequence: number;
  readonly sha256: string;
}

export interface Reference {
  readonly id: string;
  /** When its Mount was answered. */
  readonly since: number;
  /** That of the plugin in which its Mount was asked for. */
  readonly life: number;
}

export interface ModelVolume {
  readonly id: VolumeId;
  presence: 'there' | 'gone' | 'unknown';
  options: Options;
  /** Full name of the clone's source. */
  clonedFrom: string | undefined;
  fstype: string;
  /** Lists show it in the form in which it was created. */
  isNamedInFull: boolean;
  references: Reference[];
  /** By file name. */
  files: Map<string, FileRecord>;
  /** Sequence numbers of writes that were begun, by writer. */
  begun: Map<string, number>;
  /**
   * The life of the plugin in which its disk was let go since it was made. The service must know from then on that it is
   * formatted, unless the plugin was killed in this very moment.
   */
  letGoIn: number | undefined;
  /** The service knew it, at a quiet point since it was made; it never forgets. */
  isKnownReady: boolean;
  /** A Mount of it was given up since the last quiet point: the plugin may still be at undoing it. */
  isUnsettled: boolean;
  /** An Unmount of it was answered before its disk had gone, since the last quiet point. */
  isOnItsWayOut: boolean;
  /** IDs of Mounts that were given up, and the lives of the plugin in which they were asked for. */
  abandoned: Map<string, number>;
  /** Creates and removes under way; and a number that changes with each begin and end of one. */
  changing: number;
  epoch: number;
}

export class Model {
  readonly volumes: ReadonlyMap<string, ModelVolume>;

  constructor(roster: Roster) {
    this.volumes = new Map(roster.all.map((id) => [id.full, newVolume(id)]));
  }

  of({ full }: VolumeId): ModelVolume {
    const found = this.volumes.get(full);
    if (!found) throw new Error(`the model has no volume ${full}`);
    return found;
  }

  get there(): readonly ModelVolume[] {
    return [...this.volumes.values()].filter(({ presence }) => presence === 'there');
  }

  get mounted(): readonly ModelVolume[] {
    return [...this.volumes.values()].filter(({ references }) => references.length > 0);
  }
}

function newVolume(id: VolumeId): ModelVolume {
  return {
    id,
    presence: 'gone',
    options: {},
    clonedFrom: undefined,
    fstype: 'ext4',
    isNamedInFull: false,
    references: [],
    files: new Map(),
    begun: new Map(),
    letGoIn: undefined,
    isKnownReady: false,
    isUnsettled: false,
    isOnItsWayOut: false,
    abandoned: new Map(),
    changing: 0,
    epoch: 0,
  };
}

export function beginChange(volume: ModelVolume): void {
  volume.changing += 1;
  volume.epoch += 1;
}

/** @param epoch as it was right after the begin */
export function endChange(volume: ModelVolume, epoch: number, presence: ModelVolume['presence']): void {
  volume.changing -= 1;
  const wasAlone = volume.epoch === epoch && volume.changing === 0;
  volume.epoch += 1;
  volume.presence = wasAlone || !isContended(volume) ? presence : 'unknown';
}

/** Whether anybody may make and remove it at any time. All others change only by their client, or never. */
export function isContended({ id }: ModelVolume): boolean {
  return id.role === 'contended';
}

/** What is new in a volume that was just made. */
export function made(volume: ModelVolume, options: Options, asked: string, source: ModelVolume | undefined): void {
  volume.options = options;
  volume.clonedFrom = source?.id.full;
  volume.fstype = source?.fstype ?? options['fstype'] ?? 'ext4';
  volume.isNamedInFull = asked.includes('@');
  volume.files = new Map(source?.files);
  volume.begun = new Map();
  volume.letGoIn = undefined;
  volume.isKnownReady = false;
}

export function addReference(volume: ModelVolume, id: string, life: number): void {
  volume.references.push({ id, since: performance.now(), life });
}

/** As `addReference`; but one of this ID that an earlier life knew of gives way, since no process holds it. */
export function renewReference(volume: ModelVolume, id: string, life: number): void {
  const place = volume.references.findIndex((reference) => reference.id === id && reference.life < life);
  if (place !== -1) volume.references.splice(place, 1);
  addReference(volume, id, life);
}

/** Takes one of this ID away, if there is one: the newest. */
export function takeReference(volume: ModelVolume, id: string, life: number): boolean {
  const place = volume.references.findLastIndex((reference) => reference.id === id);
  if (place === -1) return false;
  volume.references.splice(place, 1);
  if (volume.references.length === 0) volume.letGoIn = life;
  return true;
}

export function countOfId({ references }: ModelVolume, id: string): number {
  return references.filter((reference) => reference.id === id).length;
}

/** Whether it has references, and all of them are from before the plugin's last start: no process holds those. */
export function isOnlyCarried({ references }: ModelVolume, life: number): boolean {
  return references.length > 0 && references.every((reference) => reference.life < life);
}

/** The sorted IDs, as many times each as it is mounted. */
export function idsOf({ references }: ModelVolume): readonly string[] {
  return references.map(({ id }) => id).sort();
}
