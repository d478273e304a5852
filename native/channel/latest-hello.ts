/**
 * Which connection of a VM counts: the one on which the guest spoke last. Invariants: once a hello was taken, nothing is
 * read any more from connections on which that guest had said hello before, or that belong to another boot of it; a
 * hello that comes later than one said after it is not taken while that one's connection lives. So a command that was
 * held back on its way (its plugin killed, its connection lost) is never begun after what the guest asked for since;
 * what had begun goes on.
 */
import { Fault } from '../../common/fault.ts';
import type { Args } from './contract.ts';

/** Of one clock within one boot. */
export type Said = Pick<Args<'hello'>, 'bootId' | 'saidAtUs'>;

/** A connection, as far as this is concerned. */
export interface Greeted {
  readonly closed: AbortSignal;
  /** Reads no more, tells the guest why, and ends. */
  endWith(reason: Fault): void;
}

export class LatestHello {
  /** Of each VM, the connections that live, which all said hello at the same time; nearly always one. */
  readonly #living = new Map<string, { readonly said: Said; readonly connections: Set<Greeted> }>();

  /**
   * Ends the VM's connections whose hello was said before. One that was said at the same time is the same hello, come
   * twice, and ends nothing.
   * @returns how many were ended
   * @throws Fault HostUnavailable when a living one's was said after it
   */
  take(vmId: string, said: Said, connection: Greeted): number {
    const latest = this.#living.get(vmId);
    const age = latest && comparison(said, latest.said);
    if (age === 'earlier') throw new Fault('HostUnavailable', 'a later connection of this VM is open');
    connection.closed.addEventListener('abort', () => this.#forget(vmId, connection), { once: true });
    if (latest && age === 'same') {
      latest.connections.add(connection);
      return 0;
    }
    this.#living.set(vmId, { said, connections: new Set([connection]) });
    latest?.connections.forEach((earlier) => earlier.endWith(tookOver));
    return latest?.connections.size ?? 0;
  }

  /** VMs with a connection that lives. */
  get size(): number {
    return this.#living.size;
  }

  #forget(vmId: string, connection: Greeted): void {
    const connections = this.#living.get(vmId)?.connections;
    if (connections?.delete(connection) && connections.size === 0) this.#living.delete(vmId);
  }
}

const tookOver = new Fault(
  'TakenOver',
  'a later connection of this VM took over; if two plugins run in it, stop one of them',
);

function comparison(said: Said, other: Said): 'earlier' | 'same' | 'later' {
  if (said.bootId !== other.bootId || said.saidAtUs > other.saidAtUs) return 'later';
  return said.saidAtUs === other.saidAtUs ? 'same' : 'earlier';
}
