/**
 * The volumes that there are, for readers that must not wait. Invariants: a view is never changed, only replaced, and
 * only after the datastore or the hypervisor holds the change; changes have consecutive numbers, and every watcher is
 * told each of them before the next can happen.
 */
import { faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import type { ChannelEvent, Volume } from '../../native/channel/contract.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';

/** The catalog at one moment. */
export interface CatalogView {
  /** Number of the last change in it. */
  readonly sequence: number;
  /**
   * By full name. A change copies the array whole, in one piece of memory, which for ten thousand volumes is fifty times
   * cheaper than a map, or than freezing the array.
   */
  readonly records: readonly VolumeRecord[];
}

export interface Page {
  readonly volumes: Volume[];
  /** The `after` of the following page; undefined on the last. */
  readonly next: string | undefined;
}

export type Watcher = (event: ChannelEvent) => void;

export class Catalog {
  #view: CatalogView;
  readonly #watchers = new Set<Watcher>();
  readonly #logger: Logger;

  constructor(records: readonly VolumeRecord[], logger: Logger) {
    const sorted = records.map(frozen).sort((one, other) => (fullNameOf(one) < fullNameOf(other) ? -1 : 1));
    this.#view = { sequence: 0, records: sorted };
    this.#logger = logger;
  }

  get view(): CatalogView {
    return this.#view;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  find(name: FullName): VolumeRecord | undefined {
    const { records } = this.#view;
    const record = records[placeOf(records, name)];
    return record && fullNameOf(record) === name ? record : undefined;
  }

  /** The volumes behind `after` in the order of full names. */
  page(after: string | undefined, limit: number): Page {
    const { records } = this.#view;
    const start = after === undefined ? 0 : placeBehind(records, after);
    const volumes = records.slice(start, start + limit).map(({ volume }) => volume);
    const last = records[start + limit - 1];
    return { volumes, next: last && start + limit < records.length ? fullNameOf(last) : undefined };
  }

  /** The volume is new, or is now as this record says. */
  publish(record: VolumeRecord): void {
    const { records, sequence } = this.#view;
    const kept = frozen(record);
    const name = fullNameOf(kept);
    const place = placeOf(records, name);
    const old = records[place];
    const isKnown = old !== undefined && fullNameOf(old) === name;
    this.#replace(records.toSpliced(place, isKnown ? 1 : 0, kept), {
      kind: 'changed',
      sequence: sequence + 1,
      volume: kept.volume,
    });
  }

  /** The volume is no more. */
  publishRemoval(record: VolumeRecord): void {
    const { records, sequence } = this.#view;
    const name = fullNameOf(record);
    const place = placeOf(records, name);
    const old = records[place];
    if (!old || fullNameOf(old) !== name) return;
    const { volume } = old;
    this.#replace(records.toSpliced(place, 1), {
      kind: 'removed',
      sequence: sequence + 1,
      name: volume.name,
      datastore: volume.datastore,
    });
  }

  /** @returns ends the watch; may be called again */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  #replace(records: VolumeRecord[], event: ChannelEvent): void {
    this.#view = { sequence: event.sequence, records };
    for (const watcher of this.#watchers) {
      try {
        watcher(event);
      } catch (error) {
        this.#watchers.delete(watcher);
        this.#logger.error('a watcher failed and is told nothing more', failureFields(faultOf(error)));
      }
    }
  }
}

function frozen(record: VolumeRecord): VolumeRecord {
  const { volume, extent } = record;
  Object.freeze(volume.mountOptions);
  if (volume.attached) Object.freeze(volume.attached);
  Object.freeze(record.root);
  Object.freeze(record.problems);
  if (extent) Object.freeze(extent);
  Object.freeze(volume);
  return Object.freeze(record);
}

/** Where the name is, or would be: the first place whose name is not before it. */
function placeOf(records: readonly VolumeRecord[], name: string): number {
  return search(records, (candidate) => candidate < name);
}

function placeBehind(records: readonly VolumeRecord[], name: string): number {
  return search(records, (candidate) => candidate <= name);
}

/** The first place for which `isBefore` is false. */
function search(records: readonly VolumeRecord[], isBefore: (name: string) => boolean): number {
  let [low, high] = [0, records.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const record = records[middle];
    if (record && isBefore(fullNameOf(record))) low = middle + 1;
    else high = middle;
  }
  return low;
}
