/**
 * Docker's volume operations. Invariants: changes are transitions (see there); a Mount is answered only when the file
 * system is mounted at the answered path, and never when dockerd surely does not see it there; references are recorded
 * before they are answered; whoever leaves a volume last lets it go; reads wait for nothing.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import { Undo } from '../../common/undo.ts';
import { parseVolumeOptions, type VolumeOptions } from '../../common/volume-options.ts';
import { type DockerVolume, dockerVolume } from '../core/docker-volume.ts';
import { mountPathOf } from '../core/mount-path.ts';
import { allOf, countOf, isCurrent, replacesCarried } from '../core/references.ts';
import type { ProcessTime } from '../ports/holders.ts';
import type { DockerReach } from '../ports/docker-reach.ts';
import type { VolumeDriver } from '../ports/driver.ts';
import type { FileSystems } from '../ports/file-systems.ts';
import type { Host } from '../ports/host.ts';
import type { DiskMounter, HeldDisk } from './disk-mounter.ts';
import { letGo } from './let-go.ts';
import type { HeldVolume, HeldVolumes } from './held-volumes.ts';
import { lostDiskOf } from './lost-disks.ts';
import type { Transitions } from './transitions.ts';
import type { Usage } from './usage.ts';
import type { VolumeView } from './volume-view.ts';

/** Time limits in milliseconds; all below what Docker's client waits (create and mount 2 minutes, the rest 1). */
export interface TimeLimits {
  readonly createMs: number;
  readonly mountMs: number;
  readonly requestMs: number;
}

export interface VolumesParts {
  readonly host: Host;
  readonly view: VolumeView;
  readonly held: HeldVolumes;
  readonly mounter: DiskMounter;
  readonly fileSystems: FileSystems;
  readonly usage: Usage;
  readonly dockerReach: DockerReach;
  /** Shared with recovery and sweeper. */
  readonly transitions: Transitions;
  readonly logger: Logger;
  readonly mountRoot: string;
  readonly limits: TimeLimits;
  /** Whether the service can be asked now; for the status that reads show. */
  readonly isHostConnected: () => boolean;
}

/** Before each time that a mount is made again which dockerd does not see: it is done with its own start within seconds. */
const showAgainMs = [20, 100, 400, 1000] as const;
/** A 62 TB disk of zeros at 1 GB/s. */
const longestCreateMs = 24 * 3_600_000;

export type VolumeOperations = Omit<VolumeDriver, 'health'>;

export class Volumes implements VolumeOperations {
  readonly #parts: VolumesParts;

  constructor(parts: VolumesParts) {
    this.#parts = parts;
  }

  async create(asked: string, given: Readonly<Record<string, string>>, caller: AbortSignal): Promise<void> {
    const { view, limits } = this.#parts;
    const options = parseVolumeOptions(given);
    const name = view.resolve(asked);
    if (options.fstype !== undefined) await this.#checkMakeable(options.fstype);
    using limit = deadline(limits.createMs, `creating ${name}`, caller);
    await this.#parts.transitions.run(name, 'create', limit.signal, () =>
      this.#create(name, asked, options, limit.signal),
    );
  }

  /** Goes on without its caller as long as the service is at it: who asks again finds the volume, or waits for it. */
  async #create(name: FullName, asked: string, options: VolumeOptions, caller: AbortSignal): Promise<void> {
    const { host, isHostConnected } = this.#parts;
    using limit = deadline(longestCreateMs, `creating ${name}`);
    const stop = new AbortController();
    const onLeft = (): void => {
      if (!isHostConnected()) stop.abort(caller.reason);
    };
    caller.addEventListener('abort', onLeft, { once: true });
    const signal = AbortSignal.any([stop.signal, limit.signal]);
    const { cloneFrom, sizeBytes, fstype, mountOptions, ...rest } = options;
    const args = {
      ...rest,
      name: asked,
      mountOptions: [...mountOptions],
      ...(sizeBytes !== undefined && { sizeBytes }),
      ...(fstype !== undefined && { fstype }),
      ...(cloneFrom !== undefined && { cloneFrom }),
    };
    await this.#changing(name, () => host.call('create', args, signal));
  }

  async remove(asked: string, caller: AbortSignal): Promise<void> {
    const { host, view, held, limits, transitions } = this.#parts;
    const name = view.resolve(asked);
    using limit = deadline(limits.requestMs, `removing ${name}`, caller);
    await transitions.run(name, 'remove', limit.signal, async () => {
      const known = held.get(name);
      if (known) await this.#letGoOfUnused(known);
      await this.#changing(name, () => host.call('remove', { name, ...view.identityOf(name) }, limit.signal));
    });
  }

  async mount(asked: string, id: string, caller: AbortSignal): Promise<string> {
    const { view, held, limits, transitions } = this.#parts;
    const name = view.resolve(asked);
    using limit = deadline(limits.mountMs, `mounting ${name}`, caller);
    return await transitions.run(name, 'mount', limit.signal, async () => {
      const { disk, path } = await this.#broughtUp(name, limit.signal);
      await using undo = new Undo();
      undo.add(() => this.#leave(name));
      await this.#showToDocker(disk, limit.signal);
      const isReplacing = await this.#givesWay(name, disk, id);
      limit.signal.throwIfAborted();
      held.addReference(name, id, isReplacing);
      undo.keep();
      return path;
    });
  }

  async unmount(asked: string, id: string): Promise<void> {
    const { view, held, limits, transitions, usage, logger } = this.#parts;
    const name = view.resolve(asked);
    using limit = deadline(limits.requestMs, `unmounting ${name}`);
    await transitions.run(name, 'unmount', limit.signal, async () => {
      const before = held.get(name);
      if (!before) return;
      const isCertain = isCurrent(before.references, id);
      held.removeReference(name, id);
      const known = held.get(name);
      if (!known || countOf(known.references) > 0) return;
      // Docker forgot, or never told, what it used before: so it is looked at who uses the disk now.
      if (!isCertain && (await usage.isMounted(known.disk))) {
        logger.warn('the last reference went, but somebody still uses the volume', { volume: name });
        return;
      }
      await this.#leave(name);
    });
  }

  path(asked: string): string {
    return this.#parts.held.pathOf(this.#parts.view.resolve(asked));
  }

  get(asked: string): DockerVolume {
    const { view, held } = this.#parts;
    const name = this.#resolveForGet(asked);
    const volume = view.find(name);
    const known = held.get(name);
    return dockerVolume(asked, volume, {
      path: known?.disk.path ?? '',
      references: known ? countOf(known.references) : 0,
      problem: known && lostDiskOf(known, view),
      viewFrom: this.#parts.isHostConnected() ? undefined : view.trueAt?.toISOString(),
    });
  }

  list(): string {
    const { view, held } = this.#parts;
    return view.list((name) => held.pathOf(name));
  }

  /** dockerd tells its own (re)start by the handshake: it may forget Unmounts that it owes, or repeat Mounts. */
  activated(at?: ProcessTime): void {
    this.#parts.usage.noteDockerStart(at);
    this.#parts.held.carryOver();
  }

  /** A name on a datastore that is not there is certainly not a volume. */
  #resolveForGet(asked: string): FullName {
    try {
      return this.#parts.view.resolve(asked);
    } catch (error) {
      const fault = faultOf(error);
      throw fault.code === 'DatastoreNotFound' ? new Fault('VolumeNotFound', fault.message, { cause: fault }) : fault;
    }
  }

  async #checkMakeable(fstype: string): Promise<void> {
    const makeable = await this.#parts.fileSystems.makeable();
    if (makeable.some((known) => known === fstype)) return;
    throw new Fault(
      'InvalidOption',
      `option fstype has the value ${JSON.stringify(fstype)}, but this machine has no mkfs.${fstype}; it can make ${makeable.join(', ')}`,
    );
  }

  async #broughtUp(name: FullName, signal: AbortSignal): Promise<{ readonly disk: HeldDisk; readonly path: string }> {
    const { fileSystems, held, logger, mounter, mountRoot, view } = this.#parts;
    const known = held.get(name);
    const lost = known && lostDiskOf(known, view);
    if (known && lost !== undefined && countOf(known.references) > 0)
      throw new Fault('DamagedVolume', `${lost}; then start it again`);
    if (known && (lost !== undefined || known.disk.isStuck)) await letGo(known.disk, this.#parts);
    else if (known?.disk.path !== undefined) {
      if (await fileSystems.isMountPoint(known.disk.path)) return { disk: known.disk, path: known.disk.path };
      // A dockerd that starts tidies up its plugin's mounts, at times those of the one that it has just started.
      logger.warn('a mounted volume was unmounted by somebody else; it is mounted again', { volume: name });
    }
    const disk = await mounter.mount(name, mountPathOf(mountRoot, name), signal, held.get(name)?.disk);
    held.hold(disk);
    return { disk, path: disk.path };
  }

  /**
   * Until Docker sees the mount. A managed plugin's dockerd that was killed takes away, when it starts, what its plugin has
   * mounted, at times what the one that it has just started mounts: that is mounted again. Nothing is taken from under a
   * container that was started since.
   * @throws Fault NotSupported when Docker would give its container an empty folder of the host in place of the disk
   */
  async #showToDocker({ name, devicePath }: HeldDisk, signal: AbortSignal): Promise<void> {
    const { dockerReach, held, logger, mounter } = this.#parts;
    for (const pauseMs of showAgainMs) {
      if (!(await dockerReach.isHidden(devicePath))) return;
      logger.warn('dockerd does not see a mount; it is mounted again', { volume: name });
      await pause(pauseMs, signal);
      const known = held.get(name);
      if (known?.references.current.length === 0) held.hold(await mounter.unmount(known.disk));
      await this.#broughtUp(name, signal);
    }
    if (!(await dockerReach.isHidden(devicePath))) return;
    throw new Fault(
      'NotSupported',
      `volume ${name} is not given away, because what this plugin mounts does not reach dockerd, which would take an empty folder of the host for it: start the plugin anew (a managed one by docker plugin disable --force and enable), and let nothing keep its mounts from the host`,
    );
  }

  /**
   * A carried reference gives way to a Mount of the same ID unless somebody may still live on it. Where dockerd was heard
   * to start, all that is carried is from before; else, any user of the volume may be the one.
   */
  async #givesWay(name: FullName, disk: HeldDisk, id: string): Promise<boolean> {
    const held = this.#parts.held.get(name);
    if (!held || !replacesCarried(held.references, id)) return false;
    return !(await this.#parts.usage.isMountedSinceEarlier(disk));
  }

  /** Lets the volume go if nobody references it; if a Mount waits for it, when that has had its turn. */
  async #leave(name: FullName): Promise<void> {
    const { held, transitions } = this.#parts;
    const known = held.get(name);
    if (!known || countOf(known.references) > 0) return;
    if (transitions.isWaitedFor(name, 'mount')) transitions.runLast(name, 'let go', () => this.#leave(name));
    else await letGo(known.disk, this.#parts);
  }

  /**
   * Before a removal. References from before Docker's last start count only if somebody lives on them.
   * @throws Fault VolumeInUse
   */
  async #letGoOfUnused(known: HeldVolume): Promise<void> {
    const { held, usage } = this.#parts;
    const { disk, references } = known;
    if (references.current.length > 0) throw inUse(disk.name, known);
    if (await usage.isUsed(disk)) throw inUse(disk.name, known);
    held.clearReferences(disk.name);
    await letGo(disk, this.#parts);
  }

  /** A change that was sent but not answered leaves its volume in doubt until the service says what became of it. */
  async #changing<T>(name: FullName, change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } catch (error) {
      if (faultOf(error).class === 'unsure' || faultOf(error).class === 'cancelled') this.#settleLater(name);
      throw error;
    }
  }

  #settleLater(name: FullName): void {
    const { host, view, limits, logger } = this.#parts;
    view.doubt(name);
    const settle = async (): Promise<void> => {
      using limit = deadline(limits.requestMs, `asking for ${name}`);
      try {
        await host.call('get', { name }, limit.signal);
        view.settle(name);
      } catch (error) {
        if (faultOf(error).class === 'missing') view.settle(name);
        else logger.warn('a change stays in doubt until the next session', { volume: name, ...failureFields(error) });
      }
    };
    void settle();
  }
}

function inUse(name: FullName, held: HeldVolume): Fault {
  const ids = allOf(held.references).map((id) => id.slice(0, 12));
  if (ids.length === 0) return new Fault('VolumeInUse', `volume ${name} is mounted here by a process without Docker`);
  return new Fault(
    'VolumeInUse',
    `volume ${name} is mounted here by ${String(ids.length)} mount(s) of Docker: ${ids.join(', ')}`,
  );
}
