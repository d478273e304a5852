/** The commands of a service over real folders and loop devices, without the channel in between. */
import { randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import { type Fault, faultOf } from '../../../common/fault.ts';
import { KeyedLock } from '../../../common/keyed-lock.ts';
import { type Logger, silentLogger } from '../../../common/logging.ts';
import { parseDatastoreName } from '../../../common/names.ts';
import { FolderDatastore } from '../../../esx-service/adapters/folder-datastore.ts';
import { LoopHypervisor } from '../../../esx-service/adapters/loop-hypervisor.ts';
import type { VolumeRecord } from '../../../esx-service/core/volume-record.ts';
import type { Datastore } from '../../../esx-service/ports/datastore.ts';
import type { Hypervisor } from '../../../esx-service/ports/hypervisor.ts';
import { attach } from '../../../esx-service/service/commands/attach.ts';
import { create } from '../../../esx-service/service/commands/create.ts';
import { detach } from '../../../esx-service/service/commands/detach.ts';
import { get } from '../../../esx-service/service/commands/get.ts';
import { remove } from '../../../esx-service/service/commands/remove.ts';
import { Datastores } from '../../../esx-service/service/datastores.ts';
import { InFlight } from '../../../esx-service/service/in-flight.ts';
import { lookAfter } from '../../../esx-service/service/look-after.ts';
import { PowerWatch } from '../../../esx-service/service/power-watch.ts';
import { readCatalog } from '../../../esx-service/service/read-catalog.ts';
import { reconcile } from '../../../esx-service/service/reconcile.ts';
import { Reconfigurations } from '../../../esx-service/service/reconfigurations.ts';
import type { Guest, Service } from '../../../esx-service/service/service.ts';
import type { Args, Reply, Volume } from '../../../native/channel/contract.ts';
import { emptyDisk } from '../../support/empty-disk.ts';
import { type Place, place } from './place.ts';

export const never = new AbortController().signal;
export const vms = ['alpha', 'beta'].map((name) => ({ id: name, name }));

export interface Commands {
  readonly service: Service;
  /** What power events started. */
  readonly inFlight: InFlight;
  readonly leftovers: readonly string[];
  readonly create: (name: string, options?: Partial<Args<'create'>>, context?: Partial<Context>) => Promise<Volume>;
  readonly clone: (name: string, source: string, options?: Partial<Args<'create'>>) => Promise<Volume>;
  readonly attach: (name: string, context?: Partial<Context>) => Promise<Reply<'attach'>>;
  readonly detach: (name: string, told?: Partial<Args<'detach'>>, context?: Partial<Context>) => Promise<void>;
  readonly remove: (name: string, identity?: Partial<Args<'remove'>>, context?: Partial<Context>) => Promise<void>;
  readonly get: (name: string) => Volume;
  readonly record: (name: string) => VolumeRecord | undefined;
  /** The findings of a check. */
  readonly check: () => Promise<readonly string[]>;
  /** As if the process had died: nothing is detached. */
  readonly end: () => Promise<void>;
}

interface Context {
  readonly vm: string;
  readonly key: string;
  readonly signal: AbortSignal;
}

export interface CommandsOptions {
  readonly datastores: Readonly<Record<string, string>>;
  readonly hypervisor?: Hypervisor;
  readonly logger?: Logger;
  readonly wrap?: (datastore: Datastore) => Datastore;
  readonly now?: () => Date;
  /** For calls to the hypervisor. */
  readonly timeoutMs?: number;
  readonly askTimeoutMs?: number;
}

export async function startCommands(t: ExecutionContext, options: CommandsOptions): Promise<Commands> {
  const { logger = silentLogger, hypervisor = new LoopHypervisor(vms), wrap = (datastore) => datastore } = options;
  const opened: Datastore[] = [];
  for (const [name, path] of Object.entries(options.datastores)) {
    opened.push(await FolderDatastore.open({ name: parseDatastoreName(name), path, createsFolder: true, logger }));
  }
  let isOpen = true;
  const end = async (): Promise<void> => {
    if (isOpen) for (const datastore of opened) await datastore.close();
    isOpen = false;
  };
  t.teardown(end);
  const datastores = new Datastores(opened.map(wrap));
  const { timeoutMs = 60_000, askTimeoutMs = 10_000 } = options;
  const inFlight = new InFlight();
  const locks = new KeyedLock();
  const power = PowerWatch.open({ hypervisor, inFlight, logger, timeoutMs });
  t.teardown(() => power[Symbol.dispose]());
  const { catalog, leftovers, doubts, unheard } = await readCatalog(datastores, hypervisor, logger, askTimeoutMs);
  const service: Service = {
    catalog,
    locks,
    datastores,
    hypervisor,
    reconfigurations: new Reconfigurations({ hypervisor, locks, logger, timeoutMs }),
    power,
    doubts,
    unheard,
    askTimeoutMs,
    authorise: () => undefined,
    logger,
    version: 'test',
    instanceId: 'test',
    now: options.now ?? (() => new Date()),
    newUuid: randomUUID,
  };
  power.start((vm, signal) => lookAfter(service, vm, signal));
  return { ...bind(service, Object.keys(options.datastores)[0] ?? ''), service, inFlight, leftovers, end };
}

function bind(
  service: Service,
  defaultDatastore: string,
): Omit<Commands, 'service' | 'inFlight' | 'leftovers' | 'end'> {
  const guest = (vm = 'alpha'): Guest => ({ vm: { id: vm, name: vm }, defaultDatastore });
  const context = ({ key = randomUUID(), signal = never }: Partial<Context> = {}): Context => ({ vm: '', key, signal });
  return {
    create: async (name, args, given) =>
      (await create(service, guest(given?.vm), { ...emptyDisk(name), ...args }, context(given))).volume,
    clone: async (name, source, args) => {
      const { sizeBytes: _size, fstype: _fstype, ...rest } = emptyDisk(name);
      return (await create(service, guest(), { ...rest, ...args, name, cloneFrom: source }, context())).volume;
    },
    attach: (name, given) => attach(service, guest(given?.vm), { name }, context(given)),
    detach: async (name, told, given) => {
      const args = { isFormatted: false, isClonePrepared: false, ...told, name };
      await detach(service, guest(given?.vm), args, context(given));
    },
    remove: async (name, identity, given) => {
      await remove(service, guest(given?.vm), { name, ...identity }, context(given));
    },
    get: (name) => get(service, guest(), { name }).volume,
    check: async () => (await reconcile(service, never)).findings,
    record: (name) => service.catalog.find(service.datastores.resolve(name, defaultDatastore).full),
  };
}

export interface Started {
  readonly at: Place;
  /** The folder of datastore `local`. */
  readonly ds: string;
  readonly commands: Commands;
  /** As after the service was killed and started again. */
  readonly restart: () => Promise<Commands>;
}

/** Commands over one datastore, `local`. */
export async function startLocal(t: ExecutionContext): Promise<Started> {
  const at = await place(t);
  const ds = at.path('local');
  const commands = await startCommands(t, { datastores: { local: ds } });
  const restart = async (): Promise<Commands> => {
    await commands.end();
    return await startCommands(t, { datastores: { local: ds } });
  };
  return { at, ds, commands, restart };
}

/** The hypervisor with some of what it does replaced. */
export function changedHypervisor(hypervisor: Hypervisor, change: Partial<Hypervisor>): Hypervisor {
  return {
    kind: hypervisor.kind,
    vms: hypervisor.vms,
    hasPciAddresses: hypervisor.hasPciAddresses,
    hasOneTaskPerVm: hypervisor.hasOneTaskPerVm,
    attachments: (signal) => hypervisor.attachments(signal),
    reconfigure: (vm, changes, signal) => hypervisor.reconfigure(vm, changes, signal),
    watchPower: (listener) => hypervisor.watchPower(listener),
    ...change,
  };
}

/** The datastore with some of what it does replaced. */
export function changed(datastore: Datastore, change: Partial<Datastore>): Datastore {
  return {
    name: datastore.name,
    path: datastore.path,
    read: () => datastore.read(),
    create: (disk, signal) => datastore.create(disk, signal),
    saveMetadata: (record) => datastore.saveMetadata(record),
    remove: (record) => datastore.remove(record),
    inspect: (record) => datastore.inspect(record),
    list: () => datastore.list(),
    changedDisks: (records) => datastore.changedDisks(records),
    readVolume: (name) => datastore.readVolume(name),
    finishRemoval: (name, held) => datastore.finishRemoval(name, held),
    close: () => datastore.close(),
    ...change,
  };
}

/** Asserts the code and that the sentence names all that the user must know. */
export async function refused(
  t: ExecutionContext,
  work: Promise<unknown>,
  code: Fault['code'],
  ...mentions: readonly string[]
): Promise<void> {
  const fault = faultOf(await t.throwsAsync(work));
  t.is(fault.code, code, fault.message);
  for (const mention of mentions)
    t.true(fault.message.includes(mention), `"${fault.message}" should mention "${mention}"`);
}
