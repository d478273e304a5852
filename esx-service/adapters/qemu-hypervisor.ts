/**
 * QEMU as the hypervisor: its VMs are programs of this machine, each with a QMP socket; their disks are SCSI disks on
 * controllers that the VMs have from their start. Invariants: what is attached is what the QEMUs say, so nothing of it is
 * lost with us; a VM that is off is one whose socket nobody listens on; a VM that cannot be asked is never taken for one
 * that holds nothing, and holds up no question about the others for as long as its last answer holds. Left to the guest:
 * to unmount before it asks for a detach, as QEMU cannot know.
 */
import { stat } from 'node:fs/promises';
import { deadline } from '../../common/deadline.ts';
import { faultOf, Fault } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { Device } from '../../native/channel/contract.ts';
import type { Attachment, Vm } from '../core/holders.ts';
import { type Controller, type ControllerKind, freeSlot, type Slot, slotKey } from '../core/scsi-slots.ts';
import type { Change, Disk, Hypervisor, Outcome } from '../ports/hypervisor.ts';
import { fileHolder } from './file-holders.ts';
import { LastAnswers } from './last-answers.ts';
import { afterChanges, allTold, attachmentsOf, deviceOf, findDisks, type FoundDisk, isOf } from './qemu-attachments.ts';
import {
  attachFault,
  detachFault,
  isLockRefusal,
  isSlotRefusal,
  lockFault,
  noSlotFault,
  notBegunFault,
  silenceFault,
} from './qemu-faults.ts';
import { QemuMachine, type Running } from './qemu-machine.ts';
import { placeOf } from './qemu-plugging.ts';
import { type QmpPattern, socketsOf } from './qmp-sockets.ts';

export interface QemuVm {
  readonly vm: Vm;
  readonly qmp: string;
  readonly uuid?: string | undefined;
  readonly contextId?: number | undefined;
}

export interface QemuOptions {
  readonly vms: readonly QemuVm[];
  /** Where further VMs may be found; each is called what stands for the pattern's star. */
  readonly discovery?: QmpPattern | undefined;
  readonly controller: ControllerKind;
  /** Whether VMs are known by their vsock addresses. */
  readonly hasContextIds: boolean;
  readonly logger: Logger;
  /** As in `MachineOptions`. */
  readonly greetingLimitMs?: number;
  /** After that a VM does not answer. */
  readonly answerLimitMs?: number;
}

const defaultAnswerLimitMs = 3_000;

/** What a call works with: the slots are promised as they are chosen. */
interface Call {
  readonly vm: Vm;
  readonly running: Running;
  readonly signal: AbortSignal;
  readonly slots: () => Slot;
  readonly found: readonly FoundDisk[];
}

export class QemuHypervisor implements Hypervisor, Disposable {
  readonly kind = 'qemu';
  readonly hasPciAddresses = true;
  /**
   * QEMU does one command after another anyway, each within milliseconds; and of a VM whose QMP does not answer only the
   * changes under way are in doubt, while those that wait were surely not begun.
   */
  readonly hasOneTaskPerVm = true;
  readonly vmOfContextId?: (contextId: number) => Vm | undefined;
  readonly #options: QemuOptions;
  readonly #machines = new Map<string, QemuMachine>();
  readonly #listeners = new Set<(vm: Vm) => void>();
  readonly #lastAnswers = new LastAnswers();

  private constructor(options: QemuOptions) {
    this.#options = options;
    for (const one of options.vms) this.#add(one);
    if (options.hasContextIds) this.vmOfContextId = (contextId) => this.#vmOfContextId(contextId);
  }

  /**
   * Reaches no VM yet: one that is off may come on at any time.
   * @throws Fault InvalidRequest when a QMP path can never be right
   */
  static async open(options: QemuOptions): Promise<QemuHypervisor> {
    const hypervisor = new QemuHypervisor(options);
    for (const { vm, qmp } of options.vms) {
      const status = await stat(qmp).catch(() => undefined);
      if (status && !status.isSocket()) {
        throw new Fault('InvalidRequest', `the QMP path of VM ${vm.name}, ${qmp}, is no socket; correct it`);
      }
      if (status) continue;
      const hint = 'it is off, or the path is wrong';
      options.logger.warn('a VM has no QMP socket', { vm: vm.name, qmp, hint });
    }
    await hypervisor.#discover();
    return hypervisor;
  }

  get vms(): readonly Vm[] {
    return [...this.#machines.values()].map(({ vm }) => vm);
  }

  async attachments(signal: AbortSignal): Promise<readonly Attachment[]> {
    await this.#discover();
    const all = [...this.#machines.values()].map((machine) => this.#attachmentsTo(machine, signal));
    const answers = await Promise.allSettled(all);
    signal.throwIfAborted();
    return allTold(this.vms, answers);
  }

  async #attachmentsTo(machine: QemuMachine, signal: AbortSignal): Promise<readonly Attachment[]> {
    const { vm } = machine;
    const { answerLimitMs = defaultAnswerLimitMs, logger } = this.#options;
    const keep = this.#lastAnswers.ask(vm.id);
    using limit = deadline(answerLimitMs, `the answer of VM ${vm.name} over QMP`, signal);
    try {
      const found = await machine.read((running) => findDisks(running.session, limit.signal), limit.signal);
      const now = found ? attachmentsOf(vm, found) : [];
      keep(now);
      return now;
    } catch (error) {
      // Only QMP changes what it holds, and nothing was changed since.
      const known = this.#lastAnswers.of(vm.id);
      if (!known) {
        void machine.pursue();
        throw silenceFault(vm, machine.path, error);
      }
      logger.warn('a VM does not answer; what it holds is told by its last answer', {
        vm: vm.name,
        ...failureFields(error),
      });
      return known;
    }
  }

  watchPower(listener: (vm: Vm) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async reconfigure(vm: Vm, changes: readonly Change[], signal: AbortSignal): Promise<readonly Outcome[]> {
    const machine = this.#machines.get(vm.id);
    if (!machine) throw new Fault('Internal', `VM ${vm.name} is none that this service knows`);
    let call: Call | undefined;
    try {
      call = await this.#begin(machine, signal);
    } catch (error) {
      // For each, not for the call as a whole: to try them one by one would only wait again and again.
      const fault = notBegunFault(vm, error);
      return changes.map(() => ({ fault }));
    }
    this.#lastAnswers.forget(vm.id);
    const outcomes = await Promise.all(changes.map((change) => this.#change(machine, call, change)));
    this.#lastAnswers.forget(vm.id);
    const after = afterChanges(vm, call?.found ?? [], changes, outcomes);
    if (after) this.#lastAnswers.ask(vm.id)(after);
    if (signal.aborted) machine.giveUp();
    return outcomes;
  }

  /** Ends all connections; disks stay where they are. */
  [Symbol.dispose](): void {
    for (const machine of this.#machines.values()) machine[Symbol.dispose]();
  }

  #add({ vm, qmp: path, uuid, contextId }: QemuVm): QemuMachine {
    const onLost = (lost: Vm): void => {
      this.#lastAnswers.forget(lost.id);
      for (const listener of this.#listeners) listener(lost);
    };
    const { logger, greetingLimitMs } = this.#options;
    const machine = new QemuMachine({ vm, path, uuid, contextId, logger, greetingLimitMs, onLost });
    this.#machines.set(vm.id, machine);
    return machine;
  }

  async #discover(): Promise<void> {
    const { discovery } = this.#options;
    if (!discovery) return;
    const known = new Set([...this.#machines.values()].map(({ path }) => path));
    for (const { name, path } of await socketsOf(discovery)) {
      if (!known.has(path) && !this.#machines.has(name)) this.#add({ vm: { id: name, name }, qmp: path });
    }
  }

  /** Of two that claim it neither is believed. */
  #vmOfContextId(contextId: number): Vm | undefined {
    const claims = [...this.#machines.values()].filter((machine) => machine.contextId === contextId);
    if (claims.length === 0) void this.#meetAll();
    if (claims.length > 1) {
      const names = claims.map(({ vm }) => vm.name);
      const hint = 'give each VM a guest-cid of its own';
      this.#options.logger.warn('VMs have the same vsock address; none is let in', { contextId, vms: names, hint });
    }
    return claims.length === 1 ? claims[0]?.vm : undefined;
  }

  /** A VM that came on since we looked last: its plugin will try again. */
  async #meetAll(): Promise<void> {
    const never = new AbortController().signal;
    await this.#discover();
    await Promise.allSettled([...this.#machines.values()].map((machine) => machine.running(never)));
  }

  /** @returns undefined when the VM is off */
  async #begin(machine: QemuMachine, signal: AbortSignal): Promise<Call | undefined> {
    return await machine.read(async (running) => {
      const { session } = running;
      const [found, controllers] = await Promise.all([findDisks(session, signal), session.controllers(signal)]);
      const { vm } = machine;
      return { vm, running, signal, found, slots: this.#slotsOf(vm, found, controllers) };
    }, signal);
  }

  #slotsOf(vm: Vm, found: readonly FoundDisk[], controllers: readonly Controller[]): () => Slot {
    const { controller: kind } = this.#options;
    const taken = new Set(found.flatMap(({ slot }) => (slot ? [slotKey(slot)] : [])));
    return () => {
      const slot = freeSlot(controllers, kind, taken);
      if (!slot) throw noSlotFault(vm, kind, controllers.filter((one) => one.kind === kind).length);
      taken.add(slotKey(slot));
      return slot;
    };
  }

  async #change(machine: QemuMachine, call: Call | undefined, change: Change): Promise<Outcome> {
    const { vm } = machine;
    try {
      if (change.do === 'detach')
        return { device: call ? await detach(call, change.disk, change.device) : change.device };
      if (call) return { device: await this.#attach(machine, call, change.disk, change.isReadOnly) };
      const sentence = `VM ${vm.name} is off: nobody listens on its QMP socket ${machine.path}`;
      throw new Fault('HostUnavailable', `${sentence}; start it, or correct the path`);
    } catch (error) {
      return { fault: faultOf(error) };
    }
  }

  async #attach(machine: QemuMachine, call: Call, disk: Disk, isReadOnly: boolean): Promise<Device> {
    const { vm, running, signal } = call;
    const there = call.found.find((one) => isOf(one, disk));
    if (there?.slot && there.isReadOnly === isReadOnly) return deviceOf(there.slot, there);
    if (there) throw lockFault(vm, disk, `VM ${vm.name} itself, as ${there.name}`, undefined);
    const plugIn = async (): Promise<Device> => running.plugging.plugIn(disk, isReadOnly, call.slots(), signal);
    try {
      return await plugIn();
    } catch (error) {
      if (!isLockRefusal(error) && !isSlotRefusal(error)) throw attachFault(vm, disk, error);
      if (isLockRefusal(error)) {
        const holder = await this.#holderOf(disk, machine, signal);
        if (holder !== undefined) throw lockFault(vm, disk, holder, error);
      }
      // Who held the disk has let go since; or somebody took the slot, and the next one is tried.
      return await plugIn().catch((again: unknown) => {
        if (!isLockRefusal(again)) throw attachFault(vm, disk, again);
        throw lockFault(vm, disk, 'another program, perhaps on another machine', again);
      });
    }
  }

  async #holderOf(disk: Disk, asker: QemuMachine, signal: AbortSignal): Promise<string | undefined> {
    for (const machine of this.#machines.values()) {
      if (machine === asker) continue;
      try {
        const held = await this.#attachmentsTo(machine, signal);
        if (held.some(({ diskId }) => diskId === disk.extent.diskId)) return `VM ${machine.vm.name}`;
      } catch (error) {
        const about = { vm: machine.vm.name, disk: disk.extent.path, ...failureFields(error) };
        this.#options.logger.warn('a VM could not be asked whether it holds a disk', about);
      }
    }
    return await fileHolder(disk.extent.diskId);
  }
}

async function detach({ vm, running, signal, found }: Call, disk: Disk, device: Device): Promise<Device> {
  if (device.kind !== 'scsi') throw new Fault('Internal', `a ${device.kind} device is no disk of a QEMU`);
  const there = found.find((one) => isOf(one, disk));
  // Not where it was when it was attached: it was detached, and attached anew by somebody else.
  if (!there?.slot || !isPlace(there.slot, device)) return device;
  try {
    await running.plugging.takeOut(there, signal);
  } catch (error) {
    throw detachFault(vm, disk, error);
  }
  return device;
}

function isPlace(slot: Slot, device: Device & { readonly kind: 'scsi' }): boolean {
  return slot.unit === device.unit && placeOf(slot).pciSlot === device.pciSlot;
}
