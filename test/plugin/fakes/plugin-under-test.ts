/** The plugin's service layer on a fake guest, with its view read. */
import { KeyedLock } from '../../../common/keyed-lock.ts';
import type { FullName } from '../../../common/names.ts';
import { silentLogger } from '../../../common/logging.ts';
import type { Reply } from '../../../native/channel/contract.ts';
import type { DockerReach } from '../../../plugin/ports/docker-reach.ts';
import { HeldVolumes } from '../../../plugin/service/held-volumes.ts';
import { DiskMounter, type HeldDisk } from '../../../plugin/service/disk-mounter.ts';
import { notedHost } from '../../../plugin/service/noted-host.ts';
import { recover, type Session } from '../../../plugin/service/recovery.ts';
import { SessionKeeper } from '../../../plugin/service/session-keeper.ts';
import { Sweeper } from '../../../plugin/service/sweeper.ts';
import { Transitions } from '../../../plugin/service/transitions.ts';
import { Usage } from '../../../plugin/service/usage.ts';
import { VolumeView } from '../../../plugin/service/volume-view.ts';
import { type TimeLimits, Volumes } from '../../../plugin/service/volumes.ts';
import type { FakeGuest } from './fake-guest.ts';

export const mountRoot = '/mnt/vmdk';
export const graceMs = 1_000;

export interface PluginUnderTest {
  readonly volumes: Volumes;
  readonly view: VolumeView;
  readonly held: HeldVolumes;
  readonly locks: KeyedLock;
  readonly keeper: SessionKeeper;
  readonly sweeper: Sweeper;
  /** What time it is, in milliseconds, for the sweeper. */
  readonly clock: { nowMs: number };
  /** Resolves when no transition runs or waits. */
  readonly idle: () => Promise<void>;
  /** Begins a new session with the service, and waits until all is in step with it. */
  recover(): Promise<readonly string[]>;
  /** Brings into step what the session says, with the view as it is; the session lasts until `closed`. */
  recoverFrom(hello: Reply<'hello'>, closed?: AbortSignal): Promise<readonly string[]>;
}

const longMs = 60_000;
const patient = new AbortController().signal;

export interface PluginOptions {
  /** What the plugin believes of its service. */
  readonly isHostConnected?: () => boolean;
  readonly limits?: Partial<TimeLimits>;
  /** Left out, Docker sees all that is mounted. */
  readonly dockerReach?: DockerReach;
}

export async function startPlugin(guest: FakeGuest, options: PluginOptions = {}): Promise<PluginUnderTest> {
  const { devices, fileSystems, mountPoints, holders, containers, referenceLog } = guest;
  const { isHostConnected = (): boolean => true, dockerReach = { isHidden: () => Promise.resolve(false) } } = options;
  const logger = silentLogger;
  const view = new VolumeView();
  const held = new HeldVolumes(referenceLog, (name) => {
    view.forgetRow(name);
  });
  const host = notedHost(guest.host, view);
  const onGone = (name: FullName): void => held.drop(name);
  const onStuck = (disk: HeldDisk): void => held.hold(disk);
  const times = { releaseMs: longMs, prepareMs: longMs };
  const mounter = new DiskMounter({ host, devices, fileSystems, mountPoints, logger, onStuck, onGone, ...times });
  const locks = new KeyedLock();
  const transitions = new Transitions(locks, logger);
  const usage = new Usage({ holders, containers, view });
  const shared = {
    host,
    view,
    held,
    mounter,
    fileSystems,
    mountPoints,
    devices,
    usage,
    transitions,
    logger,
    mountRoot,
  };
  const keeper = new SessionKeeper({ ...shared, referenceLog, volumeMs: longMs, loadMs: longMs });
  guest.onEvent = (event) => {
    keeper.heard(event);
  };
  const limits = { createMs: longMs, mountMs: longMs, requestMs: longMs, ...options.limits };
  const volumes = new Volumes({ ...shared, dockerReach, limits, isHostConnected });
  const clock = { nowMs: 0 };
  const sweeper = new Sweeper({
    ...shared,
    strays: () => keeper.strays(),
    recover: (name) => keeper.recover(name),
    mountMs: longMs,
    graceMs,
    now: () => clock.nowMs,
  });
  const session = (): Session => ({
    hello: guest.hello(),
    call: (...args) => guest.host.call(...args),
    closed: patient,
  });
  keeper.begin(session());
  await keeper.settled();
  return {
    volumes,
    view,
    held,
    locks,
    keeper,
    sweeper,
    clock,
    idle: () => transitions.idle(patient),
    recoverFrom: async (hello, closed = patient) => [
      ...(await recover({ ...session(), hello, closed }, undefined, { ...shared, volumeMs: longMs })).values(),
    ],
    recover: async () => {
      keeper.begin(session());
      await keeper.settled();
      return keeper.problems;
    },
  };
}
