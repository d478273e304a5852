/**
 * The service, put together: the one place that names adapters. Invariants: nothing listens before the catalog is true;
 * at the end new work is refused first, then the work under way ends, and only then are the datastores let go. Disks
 * stay attached: their guests use them.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { deadline } from '../common/deadline.ts';
import { KeyedLock } from '../common/keyed-lock.ts';
import type { Logger } from '../common/logging.ts';
import { parseDatastoreName } from '../common/names.ts';
import { checkNobodyListens, listenOnSocket } from '../common/unix-socket.ts';
import { version } from '../common/version.ts';
import { defaultPort } from '../native/channel/contract.ts';
import { ChannelServer } from '../native/channel/server.ts';
import { listen, type ListenOptions } from '../native/channel/transports.ts';
import { socketOwner } from '../native/file-lock.ts';
import { FolderDatastore } from './adapters/folder-datastore.ts';
import { LoopHypervisor } from './adapters/loop-hypervisor.ts';
import { QemuHypervisor } from './adapters/qemu-hypervisor.ts';
import { socketOf } from './adapters/qmp-sockets.ts';
import { defaultDatastoreOf, type ServiceConfig } from './config.ts';
import type { Vm } from './core/holders.ts';
import { adminApi } from './doors/admin-api.ts';
import { channelHandlers, type Guests } from './doors/channel-handlers.ts';
import { v2Handler } from './doors/protocol-v2.ts';
import type { Hypervisor } from './ports/hypervisor.ts';
import { Checks } from './service/checks.ts';
import { Datastores } from './service/datastores.ts';
import { InFlight } from './service/in-flight.ts';
import { lookAfter } from './service/look-after.ts';
import { PowerWatch } from './service/power-watch.ts';
import { readCatalog } from './service/read-catalog.ts';
import { Reconfigurations } from './service/reconfigurations.ts';
import type { Service } from './service/service.ts';
import { type ServiceStatus, statusOf } from './service/status.ts';

export interface StartOptions {
  readonly logger: Logger;
  /** Whether to make datastore folders that are missing, as one wants where the folder is not a mounted disk. */
  readonly createsFolders?: boolean;
}

export interface RunningService extends AsyncDisposable {
  readonly status: () => ServiceStatus;
  /** Orderly: waits for the work under way, within ten seconds. May be called again. */
  close(): Promise<void>;
}

/** Together below the ten seconds after which service managers kill. */
const commandGraceMs = 6_500;
const undoGraceMs = 2_500;
const adminMode = 0o600;
const askTimeoutMs = 10_000;

/** @throws Fault with one sentence that says what cannot be had: a folder, a lock, a socket */
export async function startService(config: ServiceConfig, options: StartOptions): Promise<RunningService> {
  const { logger, createsFolders = true } = options;
  const startedAt = new Date();
  await using opened = new AsyncDisposableStack();
  // A second service ends here, before it has asked any VM.
  for (const path of socketsOf(config)) await checkNobodyListens(path, socketOwner);
  const datastores = new Datastores(await openDatastores(config, opened, createsFolders, logger));
  const hypervisor = await openHypervisor(config, opened, logger);
  const inFlight = awaitedAtTheEnd(opened, logger);
  const locks = new KeyedLock();
  const timeoutMs = config.reconfigureTimeoutMs;
  // Before anything is asked or attached, so that no VM goes off unnoticed.
  const power = opened.use(PowerWatch.open({ hypervisor, inFlight, logger, timeoutMs: 2 * timeoutMs }));
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
    version,
    instanceId: randomUUID(),
    now: () => new Date(),
    newUuid: randomUUID,
  };
  power.start((vm, signal) => lookAfter(service, vm, signal));
  const checks = opened.use(Checks.start({ service, inFlight, intervalMs: config.checkIntervalMs }));
  const status = (): ServiceStatus => statusOf(service, startedAt, leftovers, checks.last);
  await openDoors(config, { service, status, checks, inFlight }, opened);
  logger.info('started', { version, volumes: catalog.view.records.length, vms: hypervisor.vms.length });
  const stack = opened.move();
  const close = (): Promise<void> => stack.disposeAsync();
  return { status, close, [Symbol.asyncDispose]: close };
}

function socketsOf({ adminSocket, vms }: ServiceConfig): readonly string[] {
  return [adminSocket, ...vms.flatMap(({ socket }) => socket ?? [])];
}

async function openDatastores(
  config: ServiceConfig,
  opened: AsyncDisposableStack,
  createsFolder: boolean,
  logger: Logger,
): Promise<FolderDatastore[]> {
  const datastores: FolderDatastore[] = [];
  for (const [name, path] of Object.entries(config.datastores)) {
    const datastore = await FolderDatastore.open({ name: parseDatastoreName(name), path, createsFolder, logger });
    opened.defer(() => datastore.close());
    datastores.push(datastore);
  }
  return datastores;
}

async function openHypervisor(
  config: ServiceConfig,
  opened: AsyncDisposableStack,
  logger: Logger,
): Promise<Hypervisor> {
  const { hypervisor, controller, qmpSockets, vsock: hasContextIds } = config;
  if (hypervisor === 'loop') return new LoopHypervisor(config.vms.map(({ name }) => ({ id: name, name })));
  const vms = config.vms.map(({ name, qmp, uuid, contextId }) => {
    return { vm: { id: name, name }, qmp: qmp ?? socketOf(qmpSockets ?? '', name), uuid, contextId };
  });
  const discovery = hasContextIds ? qmpSockets : undefined;
  return opened.use(await QemuHypervisor.open({ vms, discovery, controller, hasContextIds, logger }));
}

function awaitedAtTheEnd(opened: AsyncDisposableStack, logger: Logger): InFlight {
  const inFlight = new InFlight();
  opened.defer(async () => {
    using limit = deadline(undoGraceMs, 'taking back the commands at work');
    await inFlight.idle(limit.signal).catch((error: unknown) => {
      logger.warn('commands are still at work at the end', { error: String(error), count: inFlight.size });
    });
  });
  return inFlight;
}

interface Parts {
  readonly service: Service;
  readonly status: () => ServiceStatus;
  readonly checks: Checks;
  readonly inFlight: InFlight;
}

/** What is opened last is closed first: no new connections, then no more commands, then the datastores. */
async function openDoors(config: ServiceConfig, parts: Parts, opened: AsyncDisposableStack): Promise<void> {
  const { service, inFlight } = parts;
  const guests = guestsOf(config, service.hypervisor);
  const server = new ChannelServer({
    handlers: channelHandlers(service, guests, inFlight),
    protocolV2: v2Handler(service, guests, inFlight),
    logger: service.logger,
    limits: { closeGraceMs: commandGraceMs },
  });
  opened.defer(() => server.close());
  await openAdmin(config, parts, opened);
  const onConnection: ListenOptions['onConnection'] = (stream, vm) => server.serve(stream, vm);
  for (const { name, socket } of config.vms) {
    if (socket === undefined) continue;
    const identify = (): Vm => ({ id: name, name });
    const listener = await listen({ kind: 'unix', path: socket }, { identify, onConnection, logger: service.logger });
    opened.defer(() => listener.close());
  }
  await openVsock(service.hypervisor, onConnection, service.logger, opened);
}

/** Also VMs that the hypervisor found by itself, which have the service's own default. */
function guestsOf(config: ServiceConfig, hypervisor: Hypervisor): Guests {
  const defaults = new Map(config.vms.map(({ name, defaultDatastore }) => [name, defaultDatastore]));
  return {
    get: (id) => {
      const vm = hypervisor.vms.find((one) => one.id === id);
      return vm && { vm, defaultDatastore: defaultDatastoreOf(config, defaults.get(id)) };
    },
  };
}

async function openAdmin(
  config: ServiceConfig,
  { service, status, checks }: Parts,
  opened: AsyncDisposableStack,
): Promise<void> {
  const defaultDatastore = defaultDatastoreOf(config, undefined);
  const server = createServer(adminApi({ service, defaultDatastore, status, check: () => checks.run() }));
  opened.defer(() => server.closeAllConnections());
  const socket = await listenOnSocket(server, config.adminSocket, { mode: adminMode, ownerOf: socketOwner });
  opened.defer(() => socket.close());
}

/** Only where VMs have an address of that kind: the loop hypervisor's have none. */
async function openVsock(
  { vmOfContextId }: Hypervisor,
  onConnection: ListenOptions['onConnection'],
  logger: Logger,
  opened: AsyncDisposableStack,
): Promise<void> {
  if (!vmOfContextId) return;
  const identify: ListenOptions['identify'] = (peer) => (peer.kind === 'vsock' ? vmOfContextId(peer.cid) : undefined);
  const listener = await listen({ kind: 'vsock', port: defaultPort }, { identify, onConnection, logger });
  opened.defer(() => listener.close());
}
