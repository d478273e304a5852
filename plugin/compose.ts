/**
 * Puts the plugin together: the one place that names its adapters. The plugin listens only when it can answer
 * truthfully, and stops in order: no new request, those in flight end, the channel closes; mounts stay for the
 * containers that use them.
 */
import { readFile } from 'node:fs/promises';
import { abortable } from '../common/deadline.ts';
import { KeyedLock } from '../common/keyed-lock.ts';
import type { Logger } from '../common/logging.ts';
import { version } from '../common/version.ts';
import { parseDialAddress } from '../native/channel/addresses.ts';
import { ChannelClient } from '../native/channel/client.ts';
import { protocolVersion } from '../native/channel/contract.ts';
import { dialer } from '../native/channel/transports.ts';
import { BlockDevices } from './adapters/devices.ts';
import { KernelFileSystems } from './adapters/file-systems.ts';
import { ProcessMountTables } from './adapters/holders.ts';
import { FolderMountPoints } from './adapters/mount-points.ts';
import { FileReferenceLog } from './adapters/reference-log.ts';
import type { PluginConfig } from './config.ts';
import { createDockerApp } from './doors/docker-http.ts';
import { HttpServer } from './doors/http-server.ts';
import type { VolumeDriver } from './ports/driver.ts';
import { DiskMounter } from './service/disk-mounter.ts';
import { healthOf } from './service/health.ts';
import { HeldVolumes } from './service/held-volumes.ts';
import { SessionKeeper } from './service/session-keeper.ts';
import { VolumeView } from './service/volume-view.ts';
import { Volumes } from './service/volumes.ts';

export interface RunningPlugin {
  /** Once; later calls are the same close. */
  close(): Promise<void>;
}

/** The longest that requests in flight may take once the plugin is asked to stop: service managers kill after 10 s. */
const closeLimitMs = 8_000;

/**
 * Resolves when Docker can be served. Waits for the service as long as it takes.
 * @param signal ends that wait
 */
export async function startPlugin(
  config: PluginConfig,
  address: string,
  logger: Logger,
  signal: AbortSignal,
): Promise<RunningPlugin> {
  await using opened = new AsyncDisposableStack();
  const referenceLog = await FileReferenceLog.open({ folder: config.stateDir, logger });
  opened.defer(() => {
    referenceLog.close();
  });
  const devices = opened.use(BlockDevices.open({ logger }));
  const { client, driver, keeper } = wire(config, address, logger, { referenceLog, devices, bootId: await bootId() });
  opened.defer(() => keeper.settled());
  opened.use(client);
  await abortable(keeper.ready, signal);
  const app = createDockerApp(driver, {
    logger,
    commandCounts: () => sentCommands(client),
    scope: config.embedded ? 'local' : 'global',
  });
  opened.use(await HttpServer.open(app, { path: config.socket, logger, closeLimitMs }));
  logger.info('plugin ready', { socket: config.socket, service: address, version });
  const stack = opened.move();
  let closing: Promise<void> | undefined;
  return { close: () => (closing ??= stack.disposeAsync()) };
}

interface Opened {
  readonly referenceLog: FileReferenceLog;
  readonly devices: BlockDevices;
  readonly bootId: string;
}

interface Wired {
  readonly client: ChannelClient;
  readonly driver: VolumeDriver;
  readonly keeper: SessionKeeper;
}

function wire(config: PluginConfig, address: string, logger: Logger, { referenceLog, devices, bootId }: Opened): Wired {
  const view = new VolumeView();
  const held = new HeldVolumes(referenceLog, () => {
    view.forgetList();
  });
  const client = ChannelClient.open({
    address,
    dial: dialer(parseDialAddress(address)),
    hello: { versions: [protocolVersion], clientVersion: version, bootId },
    logger,
    maxInFlight: config.maxInFlight,
    onSession: (session) => {
      keeper.begin(session);
    },
    onEvent: (event) => {
      view.apply(event);
    },
  });
  const fileSystems = new KernelFileSystems({ scratchFolder: `${config.stateDir}/mnt` });
  const holders = new ProcessMountTables();
  const locks = new KeyedLock();
  const { mountRoot, requestTimeoutMs, releaseTimeoutMs: releaseMs } = config;
  const parts = { host: client, devices, fileSystems, mountPoints: new FolderMountPoints(), logger, releaseMs };
  const shared = { view, held, mounter: new DiskMounter(parts), fileSystems, holders, locks, logger, mountRoot };
  const keeper = new SessionKeeper({ ...shared, referenceLog, volumeMs: requestTimeoutMs, loadMs: requestTimeoutMs });
  const isHostConnected = (): boolean => client.isConnected;
  const limits = { createMs: config.createTimeoutMs, mountMs: config.mountTimeoutMs, requestMs: requestTimeoutMs };
  const volumes = new Volumes({ ...shared, host: client, limits, isHostConnected });
  const health = { address, view, held, isHostConnected, problems: () => keeper.problems, now: Date.now };
  return { client, keeper, driver: Object.assign(volumes, { health: () => healthOf(health) }) };
}

function sentCommands(client: ChannelClient): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(client.counters()).map(([command, { sent }]) => [command, sent]));
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
