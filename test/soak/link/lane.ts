/**
 * One direction of one connection. Invariants: bytes leave in the order in which they came, each once, unless the lane
 * swallows; what was let through before a cut is delivered before the cut is seen. Left to the owner: closing the
 * sockets, and `stop` when they are gone.
 */
import type { Socket } from 'node:net';
import { FrameWalker } from './frame-walker.ts';

/** How the bytes of one chunk travel. */
export interface Travel {
  readonly delayMs: number;
  /** Places inside the chunk where it is torn apart; the parts leave one after another. */
  readonly tears: readonly number[];
}

export interface LaneOptions {
  readonly to: Socket;
  readonly travel: (length: number) => Travel;
  readonly onFrame: (frame: Buffer) => void;
  /** All that passes was written; nothing more will be. */
  readonly onCut: () => void;
}

interface Piece {
  readonly bytes: Buffer;
  readonly dueAt: number;
}

const tearMs = 1;

export class Lane {
  readonly #options: LaneOptions;
  readonly #walker = new FrameWalker();
  #queue: Piece[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastDue = 0;
  #stalledUntil = 0;
  /** Armed: the next frame to begin is cut after so many of its bytes. */
  #cutAt: number | undefined;
  #isCutting = false;
  #state: 'open' | 'swallowing' | 'cut' | 'stopped' = 'open';
  #onEmpty: (() => void) | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Bytes passed up to a frame's offset, then nothing. */
  armCut(offset: number): void {
    this.#cutAt ??= offset;
  }

  swallow(): void {
    if (this.#state === 'open') this.#state = 'swallowing';
    this.#queue = [];
  }

  /** Holds everything back until then; nothing is lost. */
  stall(untilMs: number): void {
    this.#stalledUntil = untilMs;
  }

  push(chunk: Buffer): void {
    if (this.#state !== 'open') return;
    const { passed, isCut } = this.#walk(chunk);
    if (passed.length > 0) this.#send(passed);
    if (!isCut) return;
    this.#state = 'cut';
    this.whenEmpty(this.#options.onCut);
  }

  /** Calls back once all that waits was written. */
  whenEmpty(then: () => void): void {
    this.#onEmpty = then;
    this.#pump();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#onEmpty = undefined;
    this.#state = 'stopped';
  }

  #walk(chunk: Buffer): { readonly passed: Buffer; readonly isCut: boolean } {
    const walker = this.#walker;
    let at = 0;
    while (at < chunk.length) {
      if (walker.offset === 0 && this.#cutAt !== undefined) this.#isCutting = true;
      const most = this.#isCutting ? (this.#cutAt ?? 0) - walker.offset : Infinity;
      if (most <= 0) return { passed: chunk.subarray(0, at), isCut: true };
      const { bytes, frame } = walker.take(chunk.subarray(at), most);
      at += bytes;
      if (frame) this.#options.onFrame(frame);
      // The frame was shorter than the place of the cut: then it is cut behind it.
      if (this.#isCutting && (frame || walker.offset >= (this.#cutAt ?? 0))) {
        return { passed: chunk.subarray(0, at), isCut: true };
      }
    }
    return { passed: chunk, isCut: false };
  }

  #send(bytes: Buffer): void {
    const { delayMs, tears } = this.#options.travel(bytes.length);
    const now = performance.now();
    if (delayMs === 0 && tears.length === 0 && this.#queue.length === 0 && now >= this.#stalledUntil) {
      this.#options.to.write(bytes);
      return;
    }
    const places = [0, ...tears, bytes.length];
    for (const [index, from] of places.slice(0, -1).entries()) {
      this.#lastDue = Math.max(this.#lastDue, now + delayMs + index * tearMs);
      this.#queue.push({ bytes: bytes.subarray(from, places[index + 1]), dueAt: this.#lastDue });
    }
    this.#pump();
  }

  /** What is due by now leaves in one piece: that is how chunks grow together. */
  #pump(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    if (now < this.#stalledUntil) {
      this.#timer = setTimeout(() => this.#pump(), this.#stalledUntil - now);
      return;
    }
    const due = this.#queue.filter(({ dueAt }) => dueAt <= now);
    this.#queue = this.#queue.slice(due.length);
    if (due.length > 0) this.#options.to.write(Buffer.concat(due.map(({ bytes }) => bytes)));
    const [next] = this.#queue;
    if (next) {
      this.#timer = setTimeout(() => this.#pump(), Math.max(1, next.dueAt - now));
      return;
    }
    const onEmpty = this.#onEmpty;
    this.#onEmpty = undefined;
    onEmpty?.();
  }
}
