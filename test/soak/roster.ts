/**
 * The volumes of a storm. Private ones have one client, which alone decides what becomes of them; shared ones are there
 * from its beginning to its end; contended ones are made and removed by anybody at any time; golden ones are only
 * cloned. Pure.
 */
export const datastores = ['fast', 'big'] as const;
export type DatastoreName = (typeof datastores)[number];
export const defaultDatastore: DatastoreName = 'fast';

export interface VolumeId {
  /** `name@datastore` */
  readonly full: string;
  readonly name: string;
  readonly datastore: DatastoreName;
  readonly role: 'private' | 'shared' | 'contended' | 'golden';
}

export interface Roster {
  /** By client. */
  readonly own: readonly (readonly VolumeId[])[];
  readonly shared: readonly VolumeId[];
  readonly contended: readonly VolumeId[];
  readonly golden: readonly VolumeId[];
  readonly all: readonly VolumeId[];
}

/** @param volumes private ones in total; a tenth as many more are for all */
export function rosterOf(clients: number, volumes: number): Roster {
  const own = Array.from({ length: clients }, (_, client) =>
    Array.from({ length: Math.ceil((volumes - client) / clients) }, (_, number) =>
      // Two in a row have the same short name, on different datastores.
      volume(`p${client}-${number >> 1}`, number % 2 === 0 ? 'fast' : 'big', 'private'),
    ),
  );
  const common = Math.max(4, Math.round(volumes / 10));
  const golden = [volume('golden', 'fast', 'golden'), volume('golden', 'big', 'golden')];
  const contended = ofNumber(Math.max(1, Math.round(common / 5)), 'contended');
  const shared = ofNumber(common - golden.length - contended.length, 'shared');
  return { own, shared, contended, golden, all: [...own.flat(), ...shared, ...contended, ...golden] };
}

function ofNumber(count: number, role: 'shared' | 'contended'): readonly VolumeId[] {
  return Array.from({ length: Math.max(1, count) }, (_, number) =>
    volume(`${role} ${number >> 1}`, number % 2 === 0 ? 'fast' : 'big', role),
  );
}

function volume(name: string, datastore: DatastoreName, role: VolumeId['role']): VolumeId {
  return { full: `${name}@${datastore}`, name, datastore, role };
}
