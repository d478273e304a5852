/**
 * One connection of the plugin to the service, and what befalls it on the way. Invariant: after `end` both of its
 * sockets go, the service's at the latest when what was sent before has arrived late.
 */
import { connect, type Socket } from 'node:net';
import type { Fate } from './fate.ts';
import { readRequest, type Seen } from './frame-walker.ts';
import { Lane, type Travel } from './lane.ts';

export interface Surroundings {
  readonly target: string;
  /** Whether anything may befall it now. */
  readonly isHostile: () => boolean;
  readonly count: (event: string) => void;
  readonly onRequest: (seen: Seen) => void;
  readonly nextOffset: (direction: 'up' | 'down') => number;
  /** Sends these frames to the service over a connection of their own. */
  readonly repeat: (frames: readonly Buffer[]) => void;
  /** From now on new connections are swallowed, for so long. */
  readonly darken: (ms: number) => void;
}

interface Recorded {
  readonly frame: Buffer;
  readonly at: number;
}

/** Longer ago than this a network repeats nothing, and the service may have forgotten it. */
const memoryMs = 5000;
const longestHoleMs = 3000;
const shortestHoleMs = 100;
/** Two peers that both saw an end have this long to close. */
const closingMs = 1000;

export class LinkedConnection {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #fate: Fate;
  readonly #around: Surroundings;
  readonly #up: Lane;
  readonly #down: Lane;
  readonly #timers = new Set<NodeJS.Timeout>();
  #recorded: Recorded[] = [];
  #hello: Buffer | undefined;
  #frames = 0;
  #isEnding = false;
  #isRepeated = false;
  #isStalled = false;

  constructor(near: Socket, fate: Fate, around: Surroundings) {
    this.#near = near;
    this.#fate = fate;
    this.#around = around;
    this.#far = connect({ path: around.target, allowHalfOpen: true });
    const travel = (length: number): Travel => this.#travel(length);
    this.#up = new Lane({
      to: this.#far,
      travel,
      onFrame: (frame) => this.#fromPlugin(frame),
      onCut: () => this.#cut(),
    });
    this.#down = new Lane({ to: this.#near, travel, onFrame: () => this.#passed(), onCut: () => this.#cut() });
    this.#near.on('data', (bytes: Buffer) => this.#up.push(bytes));
    this.#far.on('data', (bytes: Buffer) => this.#down.push(bytes));
    for (const socket of [this.#near, this.#far]) socket.on('error', () => undefined);
    this.#near.on('end', () => this.#up.whenEmpty(() => this.#far.end()));
    this.#far.on('end', () => this.#down.whenEmpty(() => this.#near.end()));
    this.#near.on('close', () => this.#endLate());
    this.#far.on('close', () => {
      this.#down.whenEmpty(() => this.#near.destroy());
    });
  }

  /** At once, both sides. */
  destroy(): void {
    this.#isEnding = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#up.stop();
    this.#down.stop();
    this.#near.destroy();
    this.#far.destroy();
  }

  /** Nothing is lost, also not when the plugin's side closes meanwhile. */
  holdUp(untilMs: number): void {
    this.#up.stall(untilMs);
  }

  /** Swallows everything from now on, and closes nothing: only the peers' own deadlines notice. */
  swallowForEver(): void {
    this.#isEnding = true;
    this.#up.swallow();
    this.#down.swallow();
  }

  #travel(length: number): Travel {
    const { random, slownessMs, tearChance, delayChance } = this.#fate;
    if (!this.#around.isHostile()) return { delayMs: 0, tears: [] };
    const delayMs = slownessMs > 0 && random.chance(delayChance) ? random.whole(1, slownessMs) : 0;
    const isTorn = length > 1 && random.chance(tearChance);
    const tears = isTorn ? Array.from({ length: random.whole(1, 3) }, () => random.whole(1, length - 1)) : [];
    if (delayMs > 0) this.#around.count('delays');
    if (isTorn) this.#around.count('tears');
    return { delayMs, tears: [...new Set(tears)].sort((one, other) => one - other) };
  }

  #fromPlugin(frame: Buffer): void {
    const seen = readRequest(frame);
    this.#around.onRequest(seen);
    if (seen.kind === 'command' && seen.command === 'hello') this.#hello = frame;
    else {
      const now = performance.now();
      this.#recorded = [...this.#recorded.filter(({ at }) => now - at < memoryMs), { frame, at: now }];
    }
    this.#passed();
  }

  #passed(): void {
    this.#frames += 1;
    if (this.#isEnding || !this.#around.isHostile()) return;
    const { repeatedAfter = Infinity, stalledAfter = Infinity, endsAfter, random } = this.#fate;
    if (!this.#isRepeated && this.#frames >= repeatedAfter) this.#repeat();
    if (!this.#isStalled && this.#frames >= stalledAfter) {
      this.#isStalled = true;
      this.#around.count('stalls');
      const until = performance.now() + random.whole(shortestHoleMs, longestHoleMs);
      this.#up.stall(until);
      this.#down.stall(until);
    }
    if (this.#frames >= endsAfter) this.#end();
  }

  #repeat(): void {
    if (!this.#hello) return;
    this.#isRepeated = true;
    const now = performance.now();
    const recent = this.#recorded.filter(({ at }) => now - at < memoryMs).map(({ frame }) => frame);
    this.#around.count('repeated connections');
    this.#around.repeat([this.#hello, ...recent]);
  }

  #end(): void {
    const { ending, random } = this.#fate;
    const { count, darken, nextOffset } = this.#around;
    this.#isEnding = true;
    count(ending);
    switch (ending) {
      case 'cut up':
        this.#up.armCut(nextOffset('up'));
        break;
      case 'cut down':
        this.#down.armCut(nextOffset('down'));
        break;
      case 'half-close to service':
        this.#far.end();
        this.#later(closingMs, () => this.#cut());
        break;
      case 'half-close to plugin':
        this.#near.end();
        this.#later(closingMs, () => this.#cut());
        break;
      case 'black hole':
        this.swallowForEver();
        this.#later(random.whole(shortestHoleMs, longestHoleMs), () => this.#cut());
        break;
      case 'dark start':
        darken(random.whole(shortestHoleMs, longestHoleMs));
        this.#cut();
        break;
    }
  }

  /** The plugin sees the end now, the service when what is on its way has arrived. */
  #cut(): void {
    this.#down.stop();
    this.#near.destroy();
  }

  #endLate(): void {
    this.#later(this.#fate.lateMs, () => this.#up.whenEmpty(() => this.#far.destroy()));
  }

  #later(ms: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms);
    this.#timers.add(timer);
  }
}
