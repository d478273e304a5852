/**
 * A FAKE hypervisor: no virtual machine and no disk is behind it. It keeps in memory who holds which disk, makes all
 * changes of a call or none, and misbehaves on order: it waits, hangs, loses answers, and powers VMs off. For what
 * the loop hypervisor of the other tests cannot be made to do.
 */
import { abortable } from '../../../common/deadline.ts';
import { Fault } from '../../../common/fault.ts';
import type { Attachment, Vm } from '../../../esx-service/core/holders.ts';
import type { Change, Hypervisor, Outcome } from '../../../esx-service/ports/hypervisor.ts';
import type { Device } from '../../../native/channel/contract.ts';

export interface FakeCall {
  readonly vm: string;
  readonly changes: readonly Change[];
}

/** Calls wait at it until it is opened. */
export interface Gate {
  open(): void;
}

interface Barrier {
  readonly opened: Promise<undefined>;
  /** Without it, a call hangs on when its time is over, and acts once the gate is opened. */
  readonly hearsAbort: boolean;
  /** Undefined: all of them. */
  readonly vm: string | undefined;
}

interface Held {
  readonly vm: Vm;
  readonly device: Device;
  readonly isReadOnly: boolean;
}

export class FakeHypervisor implements Hypervisor {
  readonly kind = 'fake';
  readonly hasPciAddresses = true;
  readonly hasOneTaskPerVm: boolean = true;
  readonly vms: readonly Vm[];
  /** As they came, also those that failed. */
  readonly calls: FakeCall[] = [];
  /** Calls at work now, and the most there were of one VM. */
  readonly atWork = new Map<string, number>();
  mostAtOnce = 0;
  timesAsked = 0;
  readonly #held = new Map<string, Held>();
  readonly #listeners = new Set<(vm: Vm) => void>();
  readonly #broken = new Set<string>();
  readonly #nextFaults: { readonly fault: unknown; readonly isDone: boolean }[] = [];
  #barrier: Barrier | undefined;
  #answersAsking: Promise<undefined> | undefined;
  #nextUnit = 0;
  /** Runs when a call has had its effect and is not answered yet. */
  beforeAnswer: (vm: Vm) => void = () => undefined;

  constructor(vms: readonly Vm[]) {
    this.vms = vms;
  }

  // ---- Orders

  /** From now on calls wait. */
  hold({ hearsAbort = true, vm }: { readonly hearsAbort?: boolean; readonly vm?: string } = {}): Gate {
    const { promise: opened, resolve } = Promise.withResolvers<undefined>();
    const barrier = { opened, hearsAbort, vm };
    this.#barrier = barrier;
    return {
      open: () => {
        if (this.#barrier === barrier) this.#barrier = undefined;
        resolve(undefined);
      },
    };
  }

  /** From now on what is attached is not answered. */
  holdAsking(): Gate {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#answersAsking = promise;
    return {
      open: () => {
        this.#answersAsking = undefined;
        resolve(undefined);
      },
    };
  }

  /** The next call does nothing and fails as a whole. */
  failNext(fault: unknown): void {
    this.#nextFaults.push({ fault, isDone: false });
  }

  /** The next call acts, and its answer is lost. */
  loseNextAnswer(): void {
    this.#nextFaults.push({ fault: new Fault('OutcomeUnknown', 'the answer was lost'), isDone: true });
  }

  /** Every call with that disk in it is refused as a whole. */
  breakDisk(path: string): void {
    this.#broken.add(path);
  }

  /** @param isTold whether the event is delivered */
  powerOff(vm: Vm, isTold = true): void {
    for (const [diskId, held] of this.#held) if (held.vm.id === vm.id) this.#held.delete(diskId);
    if (isTold) for (const listener of this.#listeners) listener(vm);
  }

  /** Names of the VMs that hold a disk, by its file. */
  holderOf(diskId: string | undefined): string | undefined {
    return this.#held.get(diskId ?? '')?.vm.name;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  // ---- The port

  async attachments(): Promise<readonly Attachment[]> {
    this.timesAsked += 1;
    const answer = [...this.#held].map(([diskId, { vm, device, isReadOnly }]) => ({
      diskId,
      device,
      isReadOnly,
      holder: { vm },
    }));
    await this.#answersAsking;
    return answer;
  }

  watchPower(listener: (vm: Vm) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async reconfigure(vm: Vm, changes: readonly Change[], signal: AbortSignal): Promise<readonly Outcome[]> {
    this.calls.push({ vm: vm.name, changes });
    const count = (this.atWork.get(vm.id) ?? 0) + 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, count);
    this.atWork.set(vm.id, count);
    try {
      await this.#pass(vm, signal);
      return this.#act(vm, changes);
    } finally {
      this.atWork.set(vm.id, (this.atWork.get(vm.id) ?? 0) - 1);
    }
  }

  async #pass(vm: Vm, signal: AbortSignal): Promise<void> {
    const barrier = this.#barrier;
    if (!barrier || (barrier.vm !== undefined && barrier.vm !== vm.id)) return;
    if (barrier.hearsAbort) await abortable(barrier.opened, signal);
    else await barrier.opened;
  }

  #act(vm: Vm, changes: readonly Change[]): readonly Outcome[] {
    const next = this.#nextFaults.shift();
    if (next && !next.isDone) throw next.fault as Error;
    const broken = changes.find(({ disk }) => this.#broken.has(disk.extent.path));
    if (broken) throw new Fault('DamagedVolume', `the disk ${broken.disk.extent.path} is broken`);
    const outcomes = changes.map((change) => this.#change(vm, change));
    this.beforeAnswer(vm);
    if (next) throw next.fault as Error;
    return outcomes;
  }

  #change(vm: Vm, change: Change): Outcome {
    const { diskId } = change.disk.extent;
    if (change.do === 'detach') {
      this.#held.delete(diskId);
      return { device: change.device };
    }
    const held = this.#held.get(diskId);
    if (held) return { fault: new Fault('VolumeInUse', `the disk is attached to VM ${held.vm.name}`) };
    const unit = this.#nextUnit;
    this.#nextUnit += 1;
    const device = { kind: 'scsi', pciSlot: '192', pciBus: '15.0', unit } as const;
    this.#held.set(diskId, { vm, device, isReadOnly: change.isReadOnly });
    return { device };
  }
}
