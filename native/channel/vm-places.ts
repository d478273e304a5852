/**
 * How much is at work for each VM, over all its connections and for those that were lost. Invariants: never more than
 * `maxAtWork` at once for one VM, whatever others do; a VM with nothing at work takes no memory.
 */
import { Fault } from '../../common/fault.ts';

export class VmPlaces {
  readonly #maxAtWork: number;
  readonly #atWork = new Map<string, number>();

  constructor(maxAtWork: number) {
    this.#maxAtWork = maxAtWork;
  }

  /**
   * Runs the work in a place of the VM, until what it returned is settled. Returns that as it is: a reaction to it runs
   * as early as if this had not been between.
   * @throws Fault Busy, with nothing begun, when no place is free
   */
  run<T>(vmId: string, work: () => T): T {
    const count = this.#atWork.get(vmId) ?? 0;
    if (count >= this.#maxAtWork) {
      throw new Fault('Busy', `${count} commands of this VM are at work; try again later`);
    }
    this.#atWork.set(vmId, count + 1);
    const leave = (): void => this.#leave(vmId);
    let isPromised = false;
    try {
      const result = work();
      isPromised = result instanceof Promise;
      if (result instanceof Promise) result.then(leave, leave);
      return result;
    } finally {
      if (!isPromised) leave();
    }
  }

  #leave(vmId: string): void {
    const count = (this.#atWork.get(vmId) ?? 0) - 1;
    if (count > 0) this.#atWork.set(vmId, count);
    else this.#atWork.delete(vmId);
  }
}
