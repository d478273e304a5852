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
  /** Its disk was mounted and let go since it was made: the service must know that it is formatted. */
  wasLetGo: boolean;
  /** A Mount of it was given up since the last quiet point: the plugin may still be at undoing it. */
  isUnsettled: boolean;
  /** IDs of Mounts that were given up. */
  abandoned: Set<string>;
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
    wasLetGo: false,
    isUnsettled: false,
    abandoned: new Set(),
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
  volume.wasLetGo = false;
}

export function addReference(volume: ModelVolume, id: string): void {
  volume.references.push({ id, since: performance.now() });
}

/** Takes one of this ID away, if there is one. */
export function takeReference(volume: ModelVolume, id: string): boolean {
  const place = volume.references.findIndex((reference) => reference.id === id);
  if (place === -1) return false;
  volume.references.splice(place, 1);
  if (volume.references.length === 0) volume.wasLetGo = true;
  return true;
}

/** The sorted IDs, as many times each as it is mounted. */
export function idsOf({ references }: ModelVolume): readonly string[] {
  return references.map(({ id }) => id).sort();
}
