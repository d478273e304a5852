/**
 * Calls that are to go out, and the places of those on their way. Pure: no clock, no socket. Invariants: at most
 * `maxInFlight` places are taken, and at most half of them (at least one) by long-running calls; within a lane, calls go
 * out in order of arrival, whatever became of them in between; a free place goes to the session's lane first, and then
 * to the call that arrived first among those that may have it. So a call only ever waits for places, and for calls that
 * came before it: long ones never hold up the others, and a place for long ones is free for others when none wants it.
 *
 * The session's lane goes first since it holds the few calls that set a session up, one after another.
 */
export type Lane = 'session' | 'long' | 'short';

export interface Queued {
  readonly lane: Lane;
  /** Unique, and larger for later calls. */
  readonly arrival: number;
}

export interface QueueLimits {
  /** Places. */
  readonly maxInFlight: number;
  /** Calls of one lane that wait or are set aside, when another one of that lane asks. */
  readonly maxWaiting: number;
}

export class SendQueue<T extends Queued> {
  readonly #limits: QueueLimits;
  readonly #maxLong: number;
  /** Each in order of arrival. */
  readonly #lanes: Readonly<Record<Lane, T[]>> = { session: [], long: [], short: [] };
  readonly #sent = new Set<T>();
  readonly #aside: Readonly<Record<Lane, Set<T>>> = { session: new Set(), long: new Set(), short: new Set() };
  #longSent = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
    this.#maxLong = Math.max(1, Math.floor(limits.maxInFlight / 2));
  }

  /** Places taken. */
  get inFlight(): number {
    return this.#sent.size;
  }

  /** Calls of the lane that wait, or are set aside. */
  waiting(lane: Lane): number {
    return this.#lanes[lane].length + this.#aside[lane].size;
  }

  /** Whether one more call of the lane is too many. */
  isFull(lane: Lane): boolean {
    return lane !== 'session' && this.waiting(lane) >= this.#limits.maxWaiting;
  }

  /** Waits from now on, for the first time or again, behind those of its lane that arrived before it. */
  add(call: T): void {
    this.#leave(call);
    const lane = this.#lanes[call.lane];
    lane.splice(indexFor(lane, call.arrival), 0, call);
  }

  /** The call that is to go out now; it has a place until it is released, set aside, added or deleted. */
  take(): T | undefined {
    if (this.#sent.size >= this.#limits.maxInFlight) return undefined;
    const call = this.#nextLane().shift();
    if (!call) return undefined;
    this.#sent.add(call);
    if (call.lane === 'long') this.#longSent += 1;
    return call;
  }

  /** Neither waits nor has a place: until it is added again. It still counts as waiting. */
  setAside(call: T): void {
    this.#leave(call);
    this.#aside[call.lane].add(call);
  }

  /** Forgets it, whatever its state; its place is free. */
  delete(call: T): void {
    this.#leave(call);
  }

  /** Forgets the calls that have a place. */
  clearSent(): void {
    this.#sent.clear();
    this.#longSent = 0;
  }

  /** Those that wait, each lane in its order, and those that are set aside. */
  pending(): T[] {
    return [this.#lanes, this.#aside].flatMap(({ session, long, short }) => [...session, ...long, ...short]);
  }

  #nextLane(): T[] {
    const { session, long, short } = this.#lanes;
    if (session.length > 0) return session;
    const [oldest] = short;
    const [oldestLong] = long;
    const isLongNext = oldestLong && (!oldest || oldestLong.arrival < oldest.arrival);
    return isLongNext && this.#longSent < this.#maxLong ? long : short;
  }

  #leave(call: T): void {
    this.#aside[call.lane].delete(call);
    if (this.#sent.delete(call)) {
      if (call.lane === 'long') this.#longSent -= 1;
      return;
    }
    const lane = this.#lanes[call.lane];
    const index = indexFor(lane, call.arrival);
    if (lane[index] === call) lane.splice(index, 1);
  }
}

/** Where a call of that arrival stands in the lane, or is to stand. */
function indexFor(lane: readonly Queued[], arrival: number): number {
  let low = 0;
  let high = lane.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((lane[middle]?.arrival ?? Infinity) < arrival) low = middle + 1;
    else high = middle;
  }
  return low;
}
