/**
 * The volumes that this guest holds, with their references. Invariants: an entry is complete, in memory and in the
 * reference log, before a reader sees it; it exists only while the disk is attached here; only the holder of the
 * volume's lock changes it. Reading never waits.
 */
import type { FullName } from '../../common/names.ts';
import {
  allOf,
  carriedOver,
  countOf,
  noReferences,
  type References,
  withoutReference,
  withReference,
} from '../core/references.ts';
import type { ReferenceLog } from '../ports/reference-log.ts';
import type { HeldDisk } from './disk-mounter.ts';

export interface HeldVolume {
  readonly disk: HeldDisk;
  readonly references: References;
}

export class HeldVolumes {
  readonly #held = new Map<FullName, HeldVolume>();
  readonly #log: ReferenceLog;
  readonly #onPathChange: (name: FullName) => void;

  /** @param onPathChange called after a volume's mounted path appeared or went */
  constructor(log: ReferenceLog, onPathChange: (name: FullName) => void) {
    this.#log = log;
    this.#onPathChange = onPathChange;
  }

  get(name: FullName): HeldVolume | undefined {
    return this.#held.get(name);
  }

  values(): IterableIterator<HeldVolume> {
    return this.#held.values();
  }

  /** The path at which a volume is mounted here, else empty. */
  pathOf(name: string): string {
    return this.#held.get(name as FullName)?.disk.path ?? '';
  }

  /** A disk came up or changed; its references, if it had any, stay. */
  hold(disk: HeldDisk, references: References = this.#held.get(disk.name)?.references ?? noReferences): void {
    this.#held.set(disk.name, { disk, references });
    this.#onPathChange(disk.name);
  }

  /** The disk was detached: nothing of it is left. */
  drop(name: FullName): void {
    if (this.#held.get(name) && allOf(this.#referencesOf(name)).length > 0)
      this.#log.append({ do: 'clear', volume: name });
    this.#held.delete(name);
    this.#onPathChange(name);
  }

  /** Recorded when it returns; throws, and changes nothing, when it cannot be. */
  addReference(name: FullName, id: string, isReplacing: boolean): void {
    if (isReplacing) this.#log.append({ do: 'remove', volume: name, id });
    this.#log.append({ do: 'add', volume: name, id });
    this.#replace(name, withReference(this.#referencesOf(name), id, isReplacing));
  }

  removeReference(name: FullName, id: string): void {
    const before = this.#referencesOf(name);
    const after = withoutReference(before, id);
    if (after === before) return;
    this.#log.append({ do: 'remove', volume: name, id });
    this.#replace(name, after);
  }

  /** Nothing uses the volume, whatever Docker told: none of its references stands for anything. */
  clearReferences(name: FullName): void {
    if (countOf(this.#referencesOf(name)) === 0) return;
    this.#log.append({ do: 'clear', volume: name });
    this.#replace(name, noReferences);
  }

  /** They stood for something after all. */
  restoreReferences(name: FullName, references: References): void {
    for (const id of allOf(references)) this.#log.append({ do: 'add', volume: name, id });
    this.#replace(name, references);
  }

  /** dockerd started anew: from now on every reference is only carried over. */
  carryOver(): void {
    for (const [name, held] of this.#held) this.#replace(name, carriedOver(held.references));
  }

  #referencesOf(name: FullName): References {
    return this.#held.get(name)?.references ?? noReferences;
  }

  #replace(name: FullName, references: References): void {
    const held = this.#held.get(name);
    if (held) this.#held.set(name, { ...held, references });
  }
}
