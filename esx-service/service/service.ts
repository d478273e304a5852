/** What every command works with, and who calls it. */
import type { KeyedLock, LockRequest } from '../../common/keyed-lock.ts';
import { Fault } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import type { CommandName } from '../../native/channel/contract.ts';
import type { Vm } from '../core/holders.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { Catalog } from './catalog.ts';
import type { Datastores } from './datastores.ts';
import type { PowerWatch } from './power-watch.ts';
import type { Reconfigurations } from './reconfigurations.ts';

/** @throws Fault NotAuthorized */
export type Authorise = (vm: Vm, command: CommandName, volume: FullName) => void;

export interface Service {
  readonly catalog: Catalog;
  readonly locks: KeyedLock;
  readonly datastores: Datastores;
  readonly hypervisor: Hypervisor;
  readonly reconfigurations: Reconfigurations;
  readonly power: PowerWatch;
  /** Volumes of which the hypervisor did not say who holds them when it was asked: the next command on one asks again. */
  readonly doubts: Set<FullName>;
  /** By ID, the VMs that have not said yet what they hold, since this service was started, and why not. */
  readonly unheard: Map<string, string>;
  /** For a question to the hypervisor. */
  readonly askTimeoutMs: number;
  readonly authorise: Authorise;
  readonly logger: Logger;
  readonly version: string;
  /** New at each start. */
  readonly instanceId: string;
  readonly now: () => Date;
  readonly newUuid: () => string;
}

/** The VM that asks, and where its short names are. */
export interface Guest {
  readonly vm: Vm;
  readonly defaultDatastore: string;
}

export function readLock(name: FullName): LockRequest {
  return { class: 'volume', name, mode: 'read' };
}

export function writeLock(name: FullName): LockRequest {
  return { class: 'volume', name, mode: 'write' };
}

/** @throws Fault VolumeNotFound */
export function existing(service: Service, name: FullName): VolumeRecord {
  const record = service.catalog.find(name);
  if (record) return record;
  throw new Fault('VolumeNotFound', `volume ${name} does not exist`);
}

export type UsableRecord = VolumeRecord & { readonly extent: NonNullable<VolumeRecord['extent']> };

/** @throws Fault DamagedVolume */
export function usable(record: VolumeRecord): UsableRecord {
  const { extent, volume } = record;
  if (volume.problem !== undefined || !extent) {
    throw new Fault(
      'DamagedVolume',
      `volume ${fullNameOf(record)} cannot be used: ${volume.problem ?? 'it has no extent'}; repair its files, or restore them from a backup, and run "vmdkops check"`,
    );
  }
  return { ...record, extent };
}

/** The sentence of a volume that is attached elsewhere. */
export function inUse(record: VolumeRecord, what: string): Fault {
  const holder = record.volume.attached?.vm.name ?? 'another VM';
  return new Fault('VolumeInUse', `volume ${fullNameOf(record)} ${what}: it is attached to VM ${holder}`);
}
