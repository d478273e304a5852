/**
 * Changes of VMs' disks, in few calls to the hypervisor. Invariants: a VM is called for under its lock, one call at a
 * time, with all the changes that wait for it by then; each change waits for that lock itself, so none is forgotten
 * when another is given up; a change ends once, and one that was not begun has done nothing; no call is waited for
 * longer than its time limit. VMs do not wait for each other, and one without changes takes no memory.
 *
 * Two changes of one disk are never in one call: callers hold the disk's volume for writing until their change has
 * ended. Only a call that was given up may end later; `unsettled` tells of those.
 */
import { abortable, deadline } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import type { KeyedLock } from '../../common/keyed-lock.ts';
import type { Logger } from '../../common/logging.ts';
import type { Device } from '../../native/channel/contract.ts';
import type { Vm } from '../core/holders.ts';
import type { Change, Hypervisor, Outcome } from '../ports/hypervisor.ts';

interface Options {
  readonly hypervisor: Hypervisor;
  readonly locks: KeyedLock;
  readonly logger: Logger;
  /** After that a call is aborted; if it does not end then, it is given up a tenth of that time later. */
  readonly timeoutMs: number;
}

interface Waiting {
  readonly vm: Vm;
  readonly change: Change;
  readonly signal: AbortSignal;
  readonly settle: (outcome: Outcome) => void;
  /** Its call with others was refused as a whole: it goes in a call of its own. */
  isAlone: boolean;
}

/** A change whose call was given up, and may still have its effect. */
export interface LateChange {
  readonly vm: Vm;
  readonly do: Change['do'];
}

export class Reconfigurations {
  readonly #hypervisor: Hypervisor;
  readonly #locks: KeyedLock;
  readonly #logger: Logger;
  readonly #timeoutMs: number;
  /** By VM, in order of arrival. */
  readonly #waiting = new Map<string, Set<Waiting>>();
  /** By disk. */
  readonly #late = new Map<string, LateChange>();

  constructor({ hypervisor, locks, logger, timeoutMs }: Options) {
    this.#hypervisor = hypervisor;
    this.#locks = locks;
    this.#logger = logger;
    this.#timeoutMs = timeoutMs;
  }

  /** VMs with waiting changes and disks with late ones; falls back to 0 when idle. */
  get size(): number {
    return this.#waiting.size + this.#late.size;
  }

  /**
   * Makes the change, as soon as the VM's turn comes. The signal only ends the wait: a change that is under way goes on
   * to its end, which is the promise's.
   * @throws Fault the hypervisor's; if *unsure*, it may have happened; Busy or the signal's reason when it was given up
   * before it was begun
   */
  change(vm: Vm, change: Change, signal: AbortSignal): Promise<Device> {
    const { promise, resolve, reject } = Promise.withResolvers<Device>();
    const settle = (outcome: Outcome): void => {
      if ('device' in outcome) resolve(outcome.device);
      else reject(outcome.fault);
    };
    const waiting = { vm, change, signal, settle, isAlone: false };
    this.#join(waiting);
    void this.#takeTurn(waiting);
    return promise;
  }

  /**
   * A change of the disk that was given up and whose effect has not been seen yet, though it may still come.
   * @param holder who holds the disk, as the hypervisor said after the change was given up
   */
  unsettled(diskId: string, holder: Vm | undefined): LateChange | undefined {
    const late = this.#late.get(diskId);
    if (!late) return undefined;
    const isSeen = (late.do === 'attach') === (holder?.id === late.vm.id);
    if (!isSeen) return late;
    this.#late.delete(diskId);
    return undefined;
  }

  /** The change's caller may have its answer long before this ends. */
  async #takeTurn(waiting: Waiting): Promise<void> {
    const { vm, change, signal } = waiting;
    const options = { signal, what: `${change.do} of ${change.disk.extent.path}` };
    const work = async (): Promise<void> => {
      // Others may have taken it with them; and after a call that was refused as a whole it goes once more, alone.
      while (this.#isWaiting(waiting) && !signal.aborted) await this.#call(vm, this.#takeWith(waiting));
    };
    let reason: unknown;
    try {
      if (this.#hypervisor.hasOneTaskPerVm) {
        await this.#locks.hold([{ class: 'vm', name: vm.id, mode: 'write' }], options, work);
      } else await work();
    } catch (error) {
      reason = error;
    }
    if (this.#leave(waiting)) waiting.settle({ fault: reason ? faultOf(reason) : notBegun(waiting) });
  }

  #join(waiting: Waiting): void {
    const all = this.#waiting.get(waiting.vm.id) ?? new Set();
    this.#waiting.set(waiting.vm.id, all.add(waiting));
  }

  #isWaiting(waiting: Waiting): boolean {
    return this.#waiting.get(waiting.vm.id)?.has(waiting) ?? false;
  }

  #leave(waiting: Waiting): boolean {
    const all = this.#waiting.get(waiting.vm.id);
    const wasWaiting = all?.delete(waiting) ?? false;
    if (all?.size === 0) this.#waiting.delete(waiting.vm.id);
    return wasWaiting;
  }

  /** The change, and all that may go with it. */
  #takeWith(first: Waiting): readonly Waiting[] {
    const all = [...(this.#waiting.get(first.vm.id) ?? [])];
    const isTogether = this.#hypervisor.hasOneTaskPerVm && !first.isAlone;
    const batch = isTogether ? all.filter(({ isAlone, signal }) => !isAlone && !signal.aborted) : [first];
    for (const one of batch) this.#leave(one);
    return batch;
  }

  async #call(vm: Vm, batch: readonly Waiting[]): Promise<void> {
    const changes = batch.map(({ change }) => change);
    const began = performance.now();
    let outcomes: readonly Outcome[];
    try {
      outcomes = await this.#ask(vm, changes);
      const ms = Math.round(performance.now() - began);
      this.#logger.debug('the hypervisor has answered', { vm: vm.name, changes: changes.length, ms });
    } catch (error) {
      this.#failed(vm, batch, asFault(vm, error));
      return;
    }
    for (const [place, { settle }] of batch.entries()) {
      settle(outcomes[place] ?? { fault: unknown(vm, 'it said nothing of one of the changes') });
    }
  }

  #failed(vm: Vm, batch: readonly Waiting[], fault: Fault): void {
    if (batch.length === 1 || fault.class === 'unsure') {
      for (const { settle } of batch) settle({ fault });
      return;
    }
    this.#logger.info('changes of a VM were refused together; each is tried alone', {
      vm: vm.name,
      changes: batch.length,
      error: fault.message,
    });
    for (const one of batch) {
      // Its place in the lock's queue, where it would get its turn, was given up with the signal.
      if (one.signal.aborted) one.settle({ fault: notBegun(one) });
      else this.#join(Object.assign(one, { isAlone: true }));
    }
  }

  async #ask(vm: Vm, changes: readonly Change[]): Promise<readonly Outcome[]> {
    const what = `the hypervisor's answer to changes of VM ${vm.name}`;
    using limit = deadline(this.#timeoutMs, what);
    using end = deadline(this.#timeoutMs * 1.1, what);
    const call = (async () => await this.#hypervisor.reconfigure(vm, changes, limit.signal))();
    try {
      return await abortable(call, end.signal);
    } catch (error) {
      if (error !== end.signal.reason) throw error;
      this.#rememberLate(vm, changes, call);
      throw limit.signal.reason;
    }
  }

  #rememberLate(vm: Vm, changes: readonly Change[], call: Promise<unknown>): void {
    const about = { vm: vm.name, disks: changes.map(({ disk }) => disk.extent.path) };
    this.#logger.warn('the hypervisor did not answer in time; what became of the changes is asked later', about);
    const late = changes.map((change) => ({ diskId: change.disk.extent.diskId, vm, do: change.do }));
    for (const one of late) this.#late.set(one.diskId, one);
    const end = (how: string): void => {
      this.#logger.info('a call that was given up has ended', { ...about, how });
      for (const one of late) if (this.#late.get(one.diskId) === one) this.#late.delete(one.diskId);
    };
    call.then(
      () => end('answered'),
      (error: unknown) => end(faultOf(error).message),
    );
  }
}

/** What became of a change, as a value. */
export async function outcomeOf(change: Promise<Device>): Promise<Outcome> {
  try {
    return { device: await change };
  } catch (error) {
    return { fault: faultOf(error) };
  }
}

function notBegun({ vm, signal }: Waiting): Fault {
  const reason = faultOf(signal.reason);
  if (reason.class !== 'unsure') return reason;
  return new Fault('Busy', `VM ${vm.name} is busy with other changes of its disks; try again later`, { cause: reason });
}

/** Adapters say by a fault that nothing was changed; what is thrown otherwise says nothing. */
function asFault(vm: Vm, error: unknown): Fault {
  return error instanceof Fault ? error : unknown(vm, faultOf(error).message, error);
}

function unknown(vm: Vm, why: string, cause?: unknown): Fault {
  return new Fault('OutcomeUnknown', `the hypervisor did not say what became of a change of VM ${vm.name}: ${why}`, {
    cause,
  });
}
