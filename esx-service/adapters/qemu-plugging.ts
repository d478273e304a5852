/**
 * Disks plugged into and out of one running QEMU. Invariants: a disk is plugged in as a block node over exactly its bytes
 * and a device on top, or not at all, and no node of ours outlives its device, whoever took that away; a device is only
 * taken out while it is at the place that was meant.
 *
 * The node is the flat extent as a raw image, not the descriptor: QEMU then never rewrites the descriptor, which it
 * does by the letter of another program's format; an extent that begins within its file, or is shorter than it, is what
 * the descriptor says; and the lock is on the same file whichever of the two another QEMU opens.
 */
import { abortable, deadline } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { Device } from '../../native/channel/contract.ts';
import type { Vm } from '../core/holders.ts';
import { diskIdOfName, qemuName, qemuWwn, wwnText } from '../core/qemu-names.ts';
import type { Slot } from '../core/scsi-slots.ts';
import type { Disk } from '../ports/hypervisor.ts';
import { isMissing } from './qemu-faults.ts';
import type { OpenDisk, QemuSession } from './qemu-session.ts';
import { giveTo, type QemuUser } from './qemu-user.ts';
import { type QmpEvent, QmpRefusal } from './qmp-connection.ts';

/** For taking back, and for clearing away what others left; QEMU answers such commands within milliseconds. */
const clearLimitMs = 5_000;

export interface PluggingOptions {
  readonly vm: Vm;
  readonly session: QemuSession;
  /** As whom QEMU runs, if that is known. */
  readonly user: QemuUser | undefined;
  readonly logger: Logger;
  /** Called after somebody else took one of our disks out. */
  readonly onTakenOut: () => void;
}

export class QemuPlugging implements Disposable {
  readonly #vm: Vm;
  readonly #session: QemuSession;
  readonly #user: QemuUser | undefined;
  readonly #logger: Logger;
  readonly #onTakenOut: () => void;
  readonly #subscription: Disposable;
  /** Devices that we take out, with who waits for their end. */
  readonly #leaving = new Map<string, PromiseWithResolvers<undefined>>();

  constructor({ vm, session, user, logger, onTakenOut }: PluggingOptions) {
    this.#vm = vm;
    this.#session = session;
    this.#user = user;
    this.#logger = logger;
    this.#onTakenOut = onTakenOut;
    this.#subscription = session.connection.onEvent((event) => this.#onEvent(event));
    void session.connection.ended.then(() => {
      const end = new Fault('OutcomeUnknown', `QEMU of VM ${vm.name} ended the connection during a detach`);
      for (const { reject } of this.#leaving.values()) reject(end);
    });
  }

  /** @throws QmpRefusal, with nothing left plugged in; Fault that is *unsure*, with either */
  async plugIn(disk: Disk, isReadOnly: boolean, slot: Slot, signal: AbortSignal): Promise<Device> {
    const { extent, uuid } = disk;
    const name = qemuName(extent.diskId);
    await this.#letOpen(extent.path);
    await this.#ask(
      'blockdev-add',
      {
        'node-name': name,
        driver: 'raw',
        offset: extent.offsetBytes,
        size: extent.sizeBytes,
        'read-only': isReadOnly,
        discard: 'unmap',
        file: { driver: 'file', filename: extent.path, locking: 'on', discard: 'unmap' },
      },
      signal,
    );
    try {
      await this.#ask(
        'device_add',
        {
          driver: 'scsi-hd',
          id: name,
          drive: name,
          bus: `${slot.controller.id}.0`,
          'scsi-id': slot.unit,
          lun: 0,
          serial: uuid,
          wwn: qemuWwn(uuid),
          // By default QEMU stops the whole VM when a datastore is full, until somebody tells it to go on.
          werror: 'report',
        },
        signal,
      );
    } catch (error) {
      if (this.#session.connection.isOpen && !signal.aborted) await this.#removeNode(name);
      throw error;
    }
    return { ...placeOf(slot), wwn: wwnText(uuid) };
  }

  /** Where it cannot be done, QEMU's own attempt tells whether it needed to be. */
  async #letOpen(path: string): Promise<void> {
    if (!this.#user) return;
    await giveTo(this.#user, path).catch((error: unknown) => {
      const about = { vm: this.#vm.name, disk: path, uid: this.#user?.uid, ...failureFields(error) };
      this.#logger.warn('a disk could not be given to the user of its QEMU', about);
    });
  }

  /**
   * @param found what QEMU has of this disk now
   * @throws QmpRefusal, Fault
   */
  async takeOut(found: OpenDisk, signal: AbortSignal): Promise<void> {
    const { deviceId: id } = found;
    if (id === undefined) return;
    const gone = Promise.withResolvers<undefined>();
    gone.promise.catch(() => undefined);
    this.#leaving.set(id, gone);
    try {
      await this.#ask('device_del', { id }, signal).catch((error: unknown) => {
        // Somebody else was faster.
        if (!isMissing(error)) throw error;
        gone.resolve(undefined);
      });
      await abortable(gone.promise, signal);
      if (diskIdOfName(id) !== undefined) await this.#removeNode(id);
    } finally {
      this.#leaving.delete(id);
    }
  }

  /** Of what was begun before this session: nodes without a device, which would keep their disks from everybody. */
  async clear(signal: AbortSignal): Promise<void> {
    const [nodes, disks] = [await this.#session.ourNodes(signal), await this.#session.openDisks(signal)];
    const used = new Set(disks.flatMap(({ diskId, deviceId }) => (deviceId === undefined ? [] : [diskId])));
    for (const name of nodes) if (!used.has(diskIdOfName(name))) await this.#removeNode(name);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }

  #onEvent({ name, data }: QmpEvent): void {
    // Its place in QEMU's tree where it has no id.
    const id = data['device'] ?? data['path'];
    if (name !== 'DEVICE_DELETED' || typeof id !== 'string') return;
    const waiting = this.#leaving.get(id);
    if (waiting) waiting.resolve(undefined);
    else if (diskIdOfName(id) !== undefined) {
      this.#logger.warn('a disk was taken out of a VM by somebody else', { vm: this.#vm.name, device: id });
      // The node holds the disk's lock until it is removed.
      void this.#removeNode(id).then(this.#onTakenOut);
    }
  }

  /** With a time of its own: what is begun is ended, even when its caller's time is over. */
  async #removeNode(name: string): Promise<void> {
    using limit = deadline(clearLimitMs, `removing the block node ${name} of VM ${this.#vm.name}`);
    try {
      await this.#ask('blockdev-del', { 'node-name': name }, limit.signal);
    } catch (error) {
      if (isMissing(error)) return;
      const about = { vm: this.#vm.name, node: name, ...failureFields(error) };
      this.#logger.warn('a block node without a device could not be removed', about);
      // The next connection begins with another try.
      if (!(error instanceof QmpRefusal)) this.#session[Symbol.dispose]();
    }
  }

  async #ask(command: string, args: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<unknown> {
    return await this.#session.connection.ask(command, args, signal);
  }
}

export function placeOf({ controller: { pciAddress }, unit }: Slot): Device & { readonly kind: 'scsi' } {
  return { kind: 'scsi', pciSlot: pciAddress, pciBus: pciAddress.slice('0000:'.length, '0000:00'.length), unit };
}
