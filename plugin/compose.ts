/**
 * Puts the plugin together: the one place that names its adapters. The plugin listens only when it can answer
 * truthfully, and stops in order: no new request, those in flight end, the channel closes; mounts stay for the
 * containers that use them.
 */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { abortable, deadline } from '../common/deadline.ts';
import { KeyedLock } from '../common/keyed-lock.ts';
import { failureFields, type Logger } from '../common/logging.ts';
import { checkNobodyListens } from '../common/unix-socket.ts';
import { version } from '../common/version.ts';
import { parseDialAddress } from '../native/channel/addresses.ts';
import { ChannelClient } from '../native/channel/client.ts';
import { protocolVersion } from '../native/channel/contract.ts';
import { dialer } from '../native/channel/transports.ts';
import { socketOwner } from '../native/file-lock.ts';
import { BlockDevices } from './adapters/devices.ts';
import { DockerContainers } from './adapters/docker-containers.ts';
import { Dockerd } from './adapters/dockerd.ts';
import { DockerdStarts } from './adapters/dockerd-starts.ts';
import { KernelFileSystems } from './adapters/file-systems.ts';
import { ProcessMountTables } from './adapters/holders.ts';
import { FolderMountPoints } from './adapters/mount-points.ts';
import { FileReferenceLog } from './adapters/reference-log.ts';
import { holdStateFolder } from './adapters/state-folder.ts';
import type { PluginConfig } from './config.ts';
import { createDockerApp } from './doors/docker-http.ts';
import { HttpServer } from './doors/http-server.ts';
import type { VolumeDriver } from './ports/driver.ts';
import { DiskMounter } from './service/disk-mounter.ts';
import { healthOf } from './service/health.ts';
import { HeldVolumes } from './service/held-volumes.ts';
import { notedHost } from './service/noted-host.ts';
import { SessionKeeper } from './service/session-keeper.ts';
import { StatusNews } from './service/status-news.ts';
import { Sweeper } from './service/sweeper.ts';
import { Transitions } from './service/transitions.ts';
import { Usage } from './service/usage.ts';
import { VolumeView } from './service/volume-view.ts';
import { Volumes } from './service/volumes.ts';

export interface RunningPlugin {
  /** Once; later calls are the same close. */
  close(): Promise<void>;
}

/** The longest that requests in flight may take once the plugin is asked to stop: service managers kill after 10 s. */
const closeLimitMs = 7_000;
const transitionsLimitMs = 1_500;
/** dockerd gives up after 15 s: what is wrong stands in the log by then, and from time to time for who looks later. */
const firstWordMs = 3_000;
const furtherWordsMs = 60_000;

/**
 * Ends the start of a second plugin before it has disturbed the first.
 * @throws Fault Busy that names the first
 */
export async function claimPlaces({ socket, stateDir }: PluginConfig, opened: AsyncDisposableStack): Promise<void> {
  await checkNobodyListens(socket, socketOwner);
  opened.use(await holdStateFolder(stateDir));
}

/**
 * Resolves when Docker can be served. Left to callers: `claimPlaces` before. Waits for the service as long as it takes.
 * @param signal ends that wait
 * @param tell hears in one sentence what the plugin does or waits for, whenever that changes
 */
export async function startPlugin(
  config: PluginConfig,
  address: string,
  logger: Logger,
  signal: AbortSignal,
  tell: (sentence: string) => void,
  { isManagedPlugin = false }: { readonly isManagedPlugin?: boolean } = {},
): Promise<RunningPlugin> {
  await using opened = new AsyncDisposableStack();
  const referenceLog = await FileReferenceLog.open({ folder: config.stateDir, logger });
  opened.defer(() => {
    referenceLog.close();
  });
  const devices = opened.use(BlockDevices.open({ logger }));
  const news = new StatusNews({ address, tell });
  const boot = await bootId();
  const dockerd = new Dockerd(logger);
  const wired = wire(config, address, logger, { referenceLog, devices, bootId: boot, news, dockerd });
  const { client, driver, keeper, sweeper, transitions } = wired;
  opened.defer(() => keeper.settled());
  opened.use(client);
  opened.defer(() => endTransitions(transitions, logger));
  news.waiting();
  await servable(wired, address, logger, signal);
  opened.use(sweeper);
  sweeper.start();
  const app = createDockerApp(driver, {
    logger,
    commandCounts: () => sentCommands(client),
    scope: config.embedded ? 'local' : 'global',
  });
  const onStart = driver.activated.bind(driver);
  const starts = isManagedPlugin
    ? new DockerdStarts({ folder: config.stateDir, bootId: boot, logger, onStart })
    : undefined;
  const onConnection = (connection: Socket): void => {
    const process = dockerd.connected(connection);
    if (process) starts?.connected(process);
  };
  opened.use(await HttpServer.open(app, { path: config.socket, logger, closeLimitMs, onConnection }));
  news.serving(config.socket);
  logger.info('plugin ready', { socket: config.socket, service: address, version });
  const stack = opened.move();
  let closing: Promise<void> | undefined;
  return { close: () => (closing ??= stack.disposeAsync()) };
}

/** Says why Docker is kept waiting for as long as it is: dockerd itself only tells that there is no plugin. */
async function servable(
  { client, keeper }: Wired,
  address: string,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const tell = (): void => {
    const remedy = 'see that vmdkopsd runs there, and that the key "service" of this plugin is its address';
    logger.warn(`Docker is not served before the service has answered; ${remedy}`, {
      address,
      error: client.lastError?.message ?? 'no answer yet',
    });
  };
  const first = setTimeout(tell, firstWordMs);
  const further = setInterval(tell, furtherWordsMs);
  try {
    await abortable(keeper.ready, signal);
  } finally {
    clearTimeout(first);
    clearInterval(further);
  }
}

interface Opened {
  readonly referenceLog: FileReferenceLog;
  readonly devices: BlockDevices;
  readonly bootId: string;
  readonly news: StatusNews;
  readonly dockerd: Dockerd;
}

interface Wired {
  readonly client: ChannelClient;
  readonly driver: VolumeDriver;
  readonly keeper: SessionKeeper;
  readonly sweeper: Sweeper;
  readonly transitions: Transitions;
}

function wire(config: PluginConfig, address: string, logger: Logger, opened: Opened): Wired {
  const { referenceLog, devices, bootId, news, dockerd } = opened;
  const view = new VolumeView();
  const held = new HeldVolumes(referenceLog, (name) => {
    view.forgetRow(name);
  });
  const client = ChannelClient.open({
    address,
    dial: dialer(parseDialAddress(address)),
    hello: { versions: [protocolVersion], clientVersion: version, bootId },
    logger,
    maxInFlight: config.maxInFlight,
    onSession: (session) => {
      news.connected();
      keeper.begin(session);
    },
    onUnreachable: (fault) => {
      news.unreachable(fault);
    },
    onHeard: () => {
      view.confirm();
    },
    onEvent: (event) => {
      keeper.heard(event);
    },
  });
  const fileSystems = new KernelFileSystems({ scratchFolder: `${config.stateDir}/mnt` });
  const locks = new KeyedLock();
  const transitions = new Transitions(locks, logger);
  const { mountRoot, requestTimeoutMs: requestMs, mountTimeoutMs: mountMs } = config;
  const mountPoints = new FolderMountPoints();
  const host = notedHost(client, view);
  const mounter = new DiskMounter({
    host,
    devices,
    fileSystems,
    mountPoints,
    logger,
    onStuck: (disk) => held.hold(disk),
    onGone: (name) => held.drop(name),
    releaseMs: config.releaseTimeoutMs,
    prepareMs: config.prepareTimeoutMs,
  });
  const usage = usageOf(config, view, logger);
  const shared = { view, held, mounter, fileSystems, mountPoints, usage, transitions, devices, logger, mountRoot };
  const keeper = new SessionKeeper({ ...shared, referenceLog, volumeMs: requestMs, loadMs: requestMs });
  const sweeper = new Sweeper({
    ...shared,
    strays: () => keeper.strays(),
    recover: (name) => keeper.recover(name),
    mountMs,
    graceMs: config.sweepGraceMs,
    now: () => performance.now(),
  });
  const isHostConnected = (): boolean => client.isConnected;
  const limits = { createMs: config.createTimeoutMs, mountMs, requestMs };
  const volumes = new Volumes({ ...shared, host, dockerReach: dockerd, limits, isHostConnected });
  const now = Date.now;
  const health = {
    address,
    view,
    held,
    isHostConnected,
    lastHostError: () => client.lastError?.message,
    problems: () => keeper.problems,
    locks: () => locks.report(),
    now,
  };
  return { client, keeper, sweeper, transitions, driver: Object.assign(volumes, { health: () => healthOf(health) }) };
}

function usageOf({ dockerSocket, driverName }: PluginConfig, view: VolumeView, logger: Logger): Usage {
  const socketPath = dockerSocket === '' ? undefined : dockerSocket;
  const containers = new DockerContainers({ socketPath, driverName, logger });
  return new Usage({ holders: new ProcessMountTables(), containers, view });
}

/** Those whose callers have left; what cannot end in time is taken up by the next start. */
async function endTransitions(transitions: Transitions, logger: Logger): Promise<void> {
  using limit = deadline(transitionsLimitMs, 'ending the transitions under way');
  await transitions.idle(limit.signal).catch((error: unknown) => {
    logger.warn('transitions are still under way at the end', failureFields(error));
  });
}

function sentCommands(client: ChannelClient): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(client.counters()).map(([command, { sent }]) => [command, sent]));
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
