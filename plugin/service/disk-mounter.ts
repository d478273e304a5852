/**
 * One disk's way up (attach, find, format if due, mount) and down (unmount, detach). Invariants: a failed way up leaves
 * nothing behind, or tells what it could not take back; a device that any mount still holds is never detached; a disk is formatted only as
 * `file-system-plan` allows. Callers hold the volume's lock. The caller's signal ends the waits for the host and for
 * the device; making a disk ready and the way down run under time limits of their own, so that whoever asks again finds
 * them done.
 */
import { deadline } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import { parseFullName } from '../../common/names.ts';
import { Undo } from '../../common/undo.ts';
import type { Fstype } from '../../common/volume-options.ts';
import type { Reply } from '../../native/channel/contract.ts';
import { needsProbe, planFileSystem } from '../core/file-system-plan.ts';
import type { Devices, LeavingDevice } from '../ports/devices.ts';
import type { FileSystems } from '../ports/file-systems.ts';
import type { Host } from '../ports/host.ts';
import type { MountPoints } from '../ports/mount-points.ts';

export interface MounterParts {
  readonly host: Host;
  readonly devices: Devices;
  readonly fileSystems: FileSystems;
  readonly mountPoints: MountPoints;
  readonly logger: Logger;
  /** Takes note of a disk that a failed way up could not give back. */
  readonly onStuck: (disk: HeldDisk) => void;
  /** Takes note of a disk that a failed way up gave back: what was known of it holds no longer. */
  readonly onGone: (name: FullName) => void;
  /** Time limit of a way down, in milliseconds. */
  readonly releaseMs: number;
  /** Time limit of making a disk ready (mkfs, a clone's new identity), in milliseconds. */
  readonly prepareMs: number;
}

/** A kernel takes its disks out one after another, each within a tenth of a second. */
const leaveMs = 10_000;

/** A disk that this guest holds. Without a path it is attached but not mounted. */
export interface HeldDisk {
  readonly name: FullName;
  readonly devicePath: string;
  readonly path: string | undefined;
  readonly isReadOnly: boolean;
  /** What is true of the disk now, to be told to the service at the detach. */
  readonly isFormatted: boolean;
  readonly fstype: Fstype | undefined;
  /** A failed way up left it: before anything else, it has to come down. */
  readonly isStuck?: boolean;
}

export type MountedDisk = HeldDisk & { readonly path: string };

export class DiskMounter {
  readonly #parts: MounterParts;

  constructor(parts: MounterParts) {
    this.#parts = parts;
  }

  /**
   * Attaches and mounts at `path`. A disk that this guest holds already is taken as it is. A read-only volume that has
   * still to be made ready is mounted writable once, out of Docker's sight, and then attached again read-only.
   * @param known the disk as this guest held it before, when it did
   */
  async mount(name: FullName, path: string, signal: AbortSignal, known?: HeldDisk): Promise<MountedDisk> {
    const first = await this.#prepared(name, known, signal);
    const mounted = await this.#mountAt(first, path, signal);
    if (first.reply.isReadOnly || first.reply.volume.access !== 'read-only') return mounted;
    await this.release(mounted);
    return this.#mountAt(await this.#prepared(name, mounted, signal), path, signal);
  }

  /**
   * Unmounts and detaches.
   * @throws Fault VolumeInUse when something still uses the mount or the device: then the disk stays
   */
  async release(disk: HeldDisk): Promise<void> {
    await this.detach(await this.unmount(disk));
  }

  /** Unmounts; gives the disk as it is then, which is the same when it was not mounted. */
  async unmount(disk: HeldDisk): Promise<HeldDisk> {
    if (disk.path === undefined) return disk;
    await this.#parts.fileSystems.unmount(disk.path);
    await this.#parts.mountPoints.remove(disk.path);
    return { ...disk, path: undefined };
  }

  /** Detaches what is not mounted in this namespace. A disk without a device was never seen here. */
  async detach(disk: HeldDisk): Promise<void> {
    if (disk.devicePath !== '' && (await this.#parts.fileSystems.isHeld(disk.devicePath))) {
      throw new Fault(
        'VolumeInUse',
        `volume ${disk.name} is still mounted by a process in another namespace; it stays attached`,
      );
    }
    await this.#detach(disk);
  }

  /** As `release`, at the end of a way up that failed. */
  async #giveBack(disk: HeldDisk): Promise<void> {
    let left = disk;
    try {
      left = await this.unmount(disk);
      await this.detach(left);
      this.#parts.onGone(disk.name);
    } catch (error) {
      if (left.devicePath !== '') this.#parts.onStuck({ ...left, isStuck: true });
      throw error;
    }
  }

  async #mountAt({ disk, reply, isNew }: PreparedDisk, path: string, signal: AbortSignal): Promise<MountedDisk> {
    const { fileSystems, mountPoints } = this.#parts;
    let held = disk;
    await using undo = new Undo();
    undo.add(() => this.#giveBack(held));
    signal.throwIfAborted();
    await mountPoints.make(path);
    held = { ...disk, path };
    await fileSystems.mount({
      devicePath: disk.devicePath,
      target: path,
      fstype: fstypeOf(disk),
      isReadOnly: reply.isReadOnly,
      options: reply.volume.mountOptions,
    });
    if (isNew) await fileSystems.adornRoot(path, reply.root);
    signal.throwIfAborted();
    undo.keep();
    return { ...disk, path };
  }

  async #prepared(name: FullName, known: HeldDisk | undefined, signal: AbortSignal): Promise<PreparedDisk> {
    const { disk, reply } = await this.#attach(name, known, signal);
    let held = disk;
    await using undo = new Undo();
    undo.add(() => this.#giveBack(held));
    using limit = deadline(this.#parts.prepareMs, `making the disk of ${name} ready`);
    const { step, fstype } = await this.#prepare(disk, reply, limit.signal);
    held = { ...disk, isFormatted: true, fstype };
    undo.keep();
    return { disk: held, reply, isNew: step === 'format' || step === 'adopt' };
  }

  async #prepare(
    disk: HeldDisk,
    reply: Reply<'attach'>,
    signal: AbortSignal,
  ): Promise<{ step: string; fstype: Fstype }> {
    const { fileSystems, logger } = this.#parts;
    const known = {
      fullName: disk.name,
      fstype: disk.fstype,
      isFormatted: reply.isFormatted || disk.isFormatted,
      isFreshClone: reply.isFreshClone && !disk.isFormatted,
      allocatedBytes: reply.volume.allocatedBytes,
    };
    const signature = needsProbe(known) ? await fileSystems.signature(disk.devicePath, signal) : undefined;
    const step = planFileSystem({ ...known, signature });
    switch (step.do) {
      case 'format':
        await fileSystems.make(disk.devicePath, step.fstype, parseFullName(disk.name).name, signal);
        break;
      case 'prepare clone':
        await fileSystems.prepareClone(disk.devicePath, step.fstype, signal);
        break;
      case 'adopt':
      case 'nothing':
        break;
    }
    if (step.do !== 'nothing')
      logger.info('disk made ready', { volume: disk.name, step: step.do, fstype: step.fstype });
    return { step: step.do, fstype: step.fstype };
  }

  /** An attach whose outcome is not known is taken back: nobody could tell later that the disk is here. */
  async #attach(
    name: FullName,
    known: HeldDisk | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly disk: HeldDisk; readonly reply: Reply<'attach'> }> {
    // What was found out before, and could not be told yet, is true of the disk also when this comes to nothing.
    const { isFormatted = false, fstype } = known ?? {};
    const unseen: HeldDisk = { name, devicePath: '', path: undefined, isReadOnly: false, isFormatted, fstype };
    using expected = this.#parts.devices.expect();
    let wasAnswered = false;
    try {
      const reply = await this.#parts.host.call('attach', { name }, signal);
      wasAnswered = true;
      const devicePath = await expected.find(reply.device, signal);
      const disk = { ...unseen, devicePath, isReadOnly: reply.isReadOnly, fstype: fstype ?? reply.volume.fstype };
      return { disk, reply };
    } catch (error) {
      if (wasAnswered || ['unsure', 'cancelled'].includes(faultOf(error).class)) await this.#giveBack(unseen);
      throw error;
    }
  }

  async #detach(disk: HeldDisk): Promise<void> {
    using limit = deadline(this.#parts.releaseMs, `detaching ${disk.name}`);
    using leaving = this.#parts.devices.leaving(disk.devicePath);
    const done = { isFormatted: disk.isFormatted, isClonePrepared: disk.isFormatted };
    await this.#parts.host.call(
      'detach',
      { name: disk.name, ...done, ...(disk.isFormatted && disk.fstype && { fstype: disk.fstype }) },
      limit.signal,
    );
    await this.#awaitEnd(disk, leaving);
  }

  /** The service has detached it, so nothing that is seen here can make that undone. */
  async #awaitEnd({ name, devicePath }: HeldDisk, leaving: LeavingDevice): Promise<void> {
    using limit = deadline(leaveMs, `the end of ${devicePath}`);
    try {
      await leaving.gone(limit.signal);
    } catch (error) {
      const about = { volume: name, devicePath, ...failureFields(error) };
      this.#parts.logger.warn('a detached disk is still shown by this machine', about);
    }
  }
}

interface PreparedDisk {
  readonly disk: HeldDisk;
  readonly reply: Reply<'attach'>;
  /** Its root folder may still wait for owner and mode. */
  readonly isNew: boolean;
}

function fstypeOf(disk: HeldDisk): Fstype {
  if (disk.fstype === undefined) throw new Fault('Internal', `volume ${disk.name} has no file system type`);
  return disk.fstype;
}
