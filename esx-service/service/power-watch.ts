/**
 * VMs that go off, and what it means for who holds what. Invariants: the listener only notes, and starts work that takes
 * its own locks, so it may be called at any moment, under any lock; whoever asks for or changes a holder keeps notes
 * meanwhile, so that an "off" between *issued* and *recorded* is seen by exactly those that it may concern; nothing is
 * remembered of a VM once its volumes were looked at. An event that never comes costs only time: whoever wants a
 * volume that is held asks the hypervisor first.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { deadline } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { Vm } from '../core/holders.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { InFlight } from './in-flight.ts';

/** Looks at what the catalog says of a VM that went off. */
export type LookAfter = (vm: Vm, signal: AbortSignal) => Promise<void>;

interface Options {
  readonly hypervisor: Hypervisor;
  /** Owns the work that events start. */
  readonly inFlight: InFlight;
  readonly logger: Logger;
  /** For looking at the volumes of one VM, and waiting for whoever works on them. */
  readonly timeoutMs: number;
}

/** The VMs that went off since it was made; disposed when nobody asks any more. */
export interface PowerNotes extends Disposable {
  /** Whether the VM went off; that is forgotten then, so the next call tells what came after this one. */
  takeOff(vm: Vm): boolean;
}

export class PowerWatch implements Disposable {
  readonly #options: Options;
  readonly #notes = new Set<Map<string, Vm>>();
  readonly #ended = new AbortController();
  #lookAfter: LookAfter | undefined;
  /** What comes before there is a catalog. */
  #early = new Map<string, Vm>();
  #subscription: Disposable | undefined;

  private constructor(options: Options) {
    this.#options = options;
  }

  /** Subscribes; what is told before `start` is dealt with then. */
  static open(options: Options): PowerWatch {
    const watch = new PowerWatch(options);
    // The hypervisor may tell in the midst of a call, under a VM's lock, which must not count as ours.
    const listener = AsyncLocalStorage.bind((vm: Vm) => watch.#onOff(vm));
    watch.#subscription = options.hypervisor.watchPower(listener);
    return watch;
  }

  start(lookAfter: LookAfter): void {
    this.#lookAfter = lookAfter;
    for (const vm of this.#early.values()) this.#begin(lookAfter, vm);
    this.#early = new Map();
  }

  notes(): PowerNotes {
    const gone = new Map<string, Vm>();
    this.#notes.add(gone);
    return {
      takeOff: (vm) => gone.delete(vm.id),
      [Symbol.dispose]: () => this.#notes.delete(gone),
    };
  }

  /** How many keep notes; falls back to 0 when idle. */
  get size(): number {
    return this.#notes.size;
  }

  /** Ends the subscription and gives up what it started. */
  [Symbol.dispose](): void {
    this.#subscription?.[Symbol.dispose]();
    this.#ended.abort(new Fault('Cancelled', 'the service ends'));
  }

  #onOff(vm: Vm): void {
    for (const gone of this.#notes) gone.set(vm.id, vm);
    if (this.#lookAfter) this.#begin(this.#lookAfter, vm);
    else this.#early.set(vm.id, vm);
  }

  #begin(lookAfter: LookAfter, vm: Vm): void {
    const { inFlight, logger, timeoutMs } = this.#options;
    logger.info('a VM went off, or may have lost disks; its volumes are looked at', { vm: vm.name });
    const work = async (): Promise<void> => {
      using limit = deadline(timeoutMs, `looking at the volumes of VM ${vm.name}`, this.#ended.signal);
      try {
        await lookAfter(vm, limit.signal);
      } catch (error) {
        logger.error('the volumes of a VM that went off were not looked at', { vm: vm.name, ...failureFields(error) });
      }
    };
    void inFlight.run(work());
  }
}
