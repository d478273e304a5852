/**
 * Brings what this guest holds into step with what the service says is attached to it: at start, and with each new
 * session. Invariants: a mounted disk that has references or that any process still uses is left alone; an attached
 * disk that nothing uses is let go, also when this machine does not show it; a disk whose state cannot be told is left
 * alone and reported; other volumes go on meanwhile.
 */
import { deadline } from '../../common/deadline.ts';
import { faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { type FullName, fullName, parseFullName } from '../../common/names.ts';
import type { Reply, Volume } from '../../native/channel/contract.ts';
import { mountedName, mountPathOf } from '../core/mount-path.ts';
import { planRecovery, type RecoveryStep } from '../core/recovery-plan.ts';
import {
  carriedOver,
  countOf,
  noReferences,
  type References,
  withoutReference,
  withReference,
} from '../core/references.ts';
import type { Devices } from '../ports/devices.ts';
import type { FileSystems, MountedAt } from '../ports/file-systems.ts';
import type { Host } from '../ports/host.ts';
import type { MountPoints } from '../ports/mount-points.ts';
import type { ReferenceChange } from '../ports/reference-log.ts';
import type { DiskMounter, HeldDisk } from './disk-mounter.ts';
import { letGo } from './let-go.ts';
import type { HeldVolumes } from './held-volumes.ts';
import type { Transitions } from './transitions.ts';
import type { Usage } from './usage.ts';
import type { VolumeView } from './volume-view.ts';

export interface RecoveryParts {
  readonly view: VolumeView;
  readonly held: HeldVolumes;
  readonly mounter: DiskMounter;
  readonly devices: Devices;
  readonly fileSystems: FileSystems;
  readonly mountPoints: MountPoints;
  readonly usage: Usage;
  readonly transitions: Transitions;
  readonly logger: Logger;
  readonly mountRoot: string;
  /** Time limit for each volume, in milliseconds. */
  readonly volumeMs: number;
}

/** One connection to the service, whose view was read. */
export interface Session extends Host {
  readonly hello: Reply<'hello'>;
  /** Aborted when the session is over. */
  readonly closed: AbortSignal;
}

const looksForDisk = 5;

/** What could not be brought into step: a sentence for each volume. */
export type Problems = ReadonlyMap<FullName, string>;

/**
 * @param recorded the references that an earlier process of this boot recorded; undefined for later sessions, beside which
 * volumes are mounted and unmounted
 */
export async function recover(
  session: Session,
  recorded: ReadonlyMap<FullName, References> | undefined,
  parts: RecoveryParts,
): Promise<Problems> {
  const { fileSystems, mountPoints, mountRoot } = parts;
  const [mounts, folders] = await Promise.all([fileSystems.mountsBelow(mountRoot), mountPoints.below(mountRoot)]);
  const names = new Set<FullName>([
    ...Array.from(parts.held.values(), (held) => held.disk.name),
    ...session.hello.attached.map(fullNameIn),
    ...parts.view.attachedTo(session.hello.vm.id),
    ...[...mounts.map(({ target }) => target), ...folders].flatMap((path) => mountedName(mountRoot, path) ?? []),
    ...(recorded?.keys() ?? []),
  ]);
  const problems = new Map<FullName, string>();
  const all = Array.from(names, async (name) => {
    const references = recorded?.get(name) ?? noReferences;
    const problem = await recoverOne(name, session, references, parts, recorded && mounts);
    if (problem !== undefined) problems.set(name, problem);
  });
  await Promise.all(all);
  return problems;
}

function fullNameIn(text: string): FullName {
  const { name, datastore } = parseFullName(text);
  return fullName(name, datastore);
}

/** What the log of changes amounts to; all carried over, since the process that recorded them is gone. */
export function replay(changes: readonly ReferenceChange[]): ReadonlyMap<FullName, References> {
  const references = new Map<FullName, References>();
  for (const change of changes) {
    const before = references.get(change.volume) ?? noReferences;
    if (change.do === 'clear') references.delete(change.volume);
    else if (change.do === 'add') references.set(change.volume, withReference(before, change.id, false));
    else references.set(change.volume, withoutReference(before, change.id));
  }
  return new Map(Array.from(references, ([name, found]) => [name, carriedOver(found)]));
}

/**
 * @param mounts what is mounted while nothing else is going on; left out, it is looked at
 * @returns what cannot be brought into step, if anything
 */
export async function recoverOne(
  name: FullName,
  session: Session,
  recorded: References,
  parts: RecoveryParts,
  mounts?: readonly MountedAt[],
): Promise<string | undefined> {
  try {
    using limit = deadline(parts.volumeMs, `recovering ${name}`);
    return await parts.transitions.run(name, 'recovery', limit.signal, async () => {
      for (let look = 1; ; look += 1) {
        try {
          return await attempt(name, session, recorded, parts, mounts, limit.signal);
        } catch (error) {
          // A disk that was on its way out when the session began: by now the view may tell.
          if (faultOf(error).code !== 'DeviceTimeout' || look === looksForDisk) throw error;
        }
      }
    });
  } catch (error) {
    parts.logger.warn('volume not recovered', { volume: name, ...failureFields(error) });
    return faultOf(error).message;
  }
}

async function attempt(
  name: FullName,
  session: Session,
  recorded: References,
  parts: RecoveryParts,
  mounts: readonly MountedAt[] | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  // After its end the session's view may miss what was done since; the next session sees to this volume.
  if (session.closed.aborted) return undefined;
  const volume = known(name, parts.view);
  const isAttached = volume?.attached?.vm.id === session.hello.vm.id;
  const held = parts.held.get(name);
  if (held && isAttached && countOf(held.references) > 0) return undefined;
  const references = held?.references ?? recorded;
  const table = mounts ?? (await parts.fileSystems.mountsBelow(parts.mountRoot));
  const about = { name, references, held: held?.disk, attached: isAttached ? volume : undefined };
  return await carryOut(await look(about, table, parts, signal), references, parts, signal);
}

/** @throws Fault HostUnavailable when that is in doubt: then the volume is reported, not taken for detached */
function known(name: FullName, view: VolumeView): Volume | undefined {
  try {
    return view.find(name);
  } catch (error) {
    if (faultOf(error).class === 'missing') return undefined;
    throw error;
  }
}

interface Found {
  /** The disk as it is here; without a device when it is not attached. */
  readonly disk: HeldDisk;
  readonly path: string;
  readonly step: RecoveryStep;
}

interface Known {
  readonly name: FullName;
  readonly references: References;
  /** As this process knows it. */
  readonly held: HeldDisk | undefined;
  /** Undefined when the service says that the disk is not here. */
  readonly attached: Volume | undefined;
}

async function look(
  { name, references, held, attached }: Known,
  table: readonly MountedAt[],
  { devices, logger, mountRoot, usage, volumeMs }: RecoveryParts,
  signal: AbortSignal,
): Promise<Found> {
  const path = mountPathOf(mountRoot, name);
  const mount = table.findLast(({ target }) => target === path);
  let devicePath = '';
  if (attached?.attached) {
    using expected = devices.expect();
    using limit = deadline(volumeMs / (4 * looksForDisk), `looking for the disk of ${name}`, signal);
    const mayBeHidden = mount === undefined && countOf(references) === 0;
    devicePath = await expected.find(attached.attached.device, limit.signal).catch((error: unknown) => {
      if (!mayBeHidden || faultOf(error).code !== 'DeviceTimeout') throw error;
      // A guest's kernel finds only the first 16 disks of a pvscsi controller when it starts, and can be made to look at
      // the others only by plugging them in anew.
      logger.info('a disk that this machine does not show is let go', { volume: name, ...failureFields(error) });
      return '';
    });
  }
  const isItsDisk = devicePath !== '' && mount?.devicePath === devicePath;
  const mounted = mount ? (isItsDisk ? 'its disk' : 'something else') : 'nothing';
  const disk: HeldDisk = {
    name,
    devicePath: mount?.devicePath ?? devicePath,
    path: mount && path,
    isReadOnly: mount?.isReadOnly ?? false,
    isFormatted: isItsDisk || (held?.devicePath === devicePath && held.isFormatted),
    fstype: held?.fstype ?? attached?.fstype ?? mount?.fstype,
  };
  const isInOrder = isItsDisk && countOf(references) > 0;
  const isUsedElsewhere = isInOrder || disk.devicePath === '' ? false : await usage.isMountedIfKnown(disk);
  const seen = {
    isAttached: attached !== undefined,
    mounted,
    references: countOf(references),
    isUsedElsewhere,
  } as const;
  return { disk, path, step: planRecovery(name, path, seen) };
}

async function carryOut(
  { disk, path, step }: Found,
  references: References,
  parts: RecoveryParts,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { held, logger, mounter } = parts;
  const about = { volume: disk.name, path, references: countOf(references) };
  switch (step.do) {
    case 'nothing':
      held.drop(disk.name);
      await removeFolder(path, parts);
      return undefined;
    case 'take up':
      held.hold(disk, references);
      logger.info('volume taken up', about);
      return step.problem;
    case 'mount again':
      held.hold(await mounter.mount(disk.name, path, signal), references);
      logger.info('volume mounted again', about);
      return undefined;
    case 'let go':
      await letGo(disk, parts);
      // A plugin that was killed between mkdir and mount, or umount and rmdir, left it.
      await removeFolder(path, parts);
      logger.info('unused volume let go', about);
      return undefined;
    case 'unmount':
      await mounter.unmount(disk);
      held.drop(disk.name);
      logger.warn('a mount without its disk was taken away', about);
      return undefined;
    case 'leave alone':
      return step.problem;
  }
}

/** What is not empty stays: it is nobody's of ours, and in nobody's way until a volume is to be mounted there. */
async function removeFolder(path: string, { logger, mountPoints }: RecoveryParts): Promise<void> {
  try {
    await mountPoints.remove(path);
  } catch (error) {
    logger.warn('a mount point without a mount is not removed', { path, ...failureFields(error) });
  }
}
