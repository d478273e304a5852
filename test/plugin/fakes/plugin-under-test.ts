/** The plugin's service layer on a fake guest, with its view read. */
import { KeyedLock } from '../../../common/keyed-lock.ts';
import { silentLogger } from '../../../common/logging.ts';
import type { Reply } from '../../../native/channel/contract.ts';
import { DiskMounter } from '../../../plugin/service/disk-mounter.ts';
import { HeldVolumes } from '../../../plugin/service/held-volumes.ts';
import { recover, replay } from '../../../plugin/service/recovery.ts';
import { VolumeView } from '../../../plugin/service/volume-view.ts';
import { Volumes } from '../../../plugin/service/volumes.ts';
import type { FakeGuest } from './fake-guest.ts';

export const mountRoot = '/mnt/vmdk';

export interface PluginUnderTest {
  readonly volumes: Volumes;
  readonly view: VolumeView;
  readonly held: HeldVolumes;
  readonly locks: KeyedLock;
  /** What a new session with the service starts. */
  recover(): Promise<readonly string[]>;
  /** The same with the view as it is. */
  recoverFrom(session: Reply<'hello'>): Promise<readonly string[]>;
}

/** @param isHostConnected what the plugin believes of its service */
export async function startPlugin(guest: FakeGuest, isHostConnected = (): boolean => true): Promise<PluginUnderTest> {
  const { host, devices, fileSystems, mountPoints, holders, referenceLog } = guest;
  const logger = silentLogger;
  const view = new VolumeView();
  const recorded = replay(referenceLog.read());
  const held = new HeldVolumes(referenceLog, () => {
    view.forgetList();
  });
  const mounter = new DiskMounter({ host, devices, fileSystems, mountPoints, logger, releaseMs: 60_000 });
  const locks = new KeyedLock();
  guest.onEvent = (event) => {
    view.apply(event);
  };
  const limits = { createMs: 60_000, mountMs: 60_000, requestMs: 60_000 };
  const shared = { host, view, held, mounter, fileSystems, holders, locks, logger, mountRoot };
  const volumes = new Volumes({ ...shared, limits, isHostConnected });
  const session = guest.hello();
  const signal = new AbortController().signal;
  await view.load(session, host, signal);
  await recover(session, recorded, { ...shared, volumeMs: 60_000 });
  const recoverFrom = (next: Reply<'hello'>): Promise<readonly string[]> =>
    recover(next, new Map(), { ...shared, volumeMs: 60_000 });
  return {
    volumes,
    view,
    held,
    locks,
    recover: async () => {
      const next = guest.hello();
      await view.load(next, host, signal);
      return recoverFrom(next);
    },
    recoverFrom,
  };
}
