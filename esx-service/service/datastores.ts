/**
 * The datastores by name, and the names of volumes on them. Invariant: one volume has one full name, spelled as the
 * configuration spells its datastore, however it was asked for: locks and the catalog use no other.
 */
import { Fault } from '../../common/fault.ts';
import { type FullName, fullName, parseAskedName, type VolumeName } from '../../common/names.ts';
import type { Datastore } from '../ports/datastore.ts';

export interface ResolvedName {
  readonly name: VolumeName;
  readonly datastore: Datastore;
  readonly full: FullName;
  /** Whether the datastore was typed. */
  readonly isInFull: boolean;
}

export class Datastores {
  readonly all: readonly Datastore[];

  constructor(all: readonly Datastore[]) {
    this.all = all;
  }

  /**
   * @param defaultDatastore for a name without one
   * @throws Fault InvalidName, or DatastoreNotFound with the known ones
   */
  resolve(asked: string, defaultDatastore: string): ResolvedName {
    const { name, datastore: typed } = parseAskedName(asked);
    const datastore = this.find(typed ?? defaultDatastore, defaultDatastore);
    return { name, datastore, full: fullName(name, datastore.name), isInFull: typed !== undefined };
  }

  find(name: string, defaultDatastore: string): Datastore {
    const found = this.all.find((datastore) => datastore.name.toLowerCase() === name.toLowerCase());
    if (found) return found;
    const known = this.all.map((datastore) => datastore.name).join(', ');
    throw new Fault(
      'DatastoreNotFound',
      `datastore ${name} is not known; known are ${known} (default ${defaultDatastore})`,
    );
  }
}
