/**
 * The way between plugin and service, as bad as a way can be: it delays, tears apart and joins, lets connections
 * overtake each other, repeats them, cuts them at every byte, half-closes them, and swallows them in silence. It never
 * changes a byte. Invariants: while calm it adds no new trouble; what it does comes from the seed, when it does it from
 * the traffic; it counts all that the plugin asks, as it is on the wire.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../random.ts';
import { Fates } from './fate.ts';
import { readRequest, type Seen } from './frame-walker.ts';
import { LinkedConnection } from './linked-connection.ts';

export interface LinkSetup {
  /** Where the plugin connects. */
  readonly path: string;
  /** The service's own socket. */
  readonly target: string;
  readonly random: Random;
  /** How many frames a connection lives on the average, while the link is hostile. */
  readonly meanFrames: number;
}

const shortestRepeatMs = 20;
const longestRepeatMs = 1500;
const traced = 20_000;
const tracedShown = 30;

export class HostileLink implements AsyncDisposable {
  readonly #setup: LinkSetup;
  readonly #fates: Fates;
  readonly #server: Server;
  readonly #repeats: Random;
  readonly #events = new Map<string, number>();
  readonly #commands = new Map<string, number>();
  readonly #connections = new Set<LinkedConnection>();
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #trace: { readonly on: string; readonly text: string }[] = [];
  #isHostile = false;
  #darkUntil = 0;
  #peer = 0;

  private constructor(setup: LinkSetup) {
    this.#setup = setup;
    this.#fates = new Fates(setup.random.fork('fates'), setup.meanFrames);
    this.#repeats = setup.random.fork('repeats');
    this.#server = createServer({ allowHalfOpen: true }, (near) => this.#accept(near));
  }

  /** Calm at first. */
  static async open(setup: LinkSetup): Promise<HostileLink> {
    const link = new HostileLink(setup);
    link.#server.listen(setup.path);
    await once(link.#server, 'listening');
    return link;
  }

  get isHostile(): boolean {
    return this.#isHostile;
  }

  /** No new trouble; what was begun runs out within seconds. */
  calm(): void {
    this.#isHostile = false;
  }

  rage(): void {
    this.#isHostile = true;
  }

  /** What the plugin sends on the connections that stand reaches the service only after so long, even if it dies. */
  holdBack(ms: number): void {
    this.#count('last words held back');
    for (const connection of this.#connections) connection.holdUp(performance.now() + ms);
  }

  /** Who connects from now on is another process. */
  nextPeer(): void {
    this.#peer += 1;
  }

  /** The connections that stand are swallowed without an end: the plugin's keep-alive must notice. */
  swallowForLong(): void {
    this.#count('long black hole');
    for (const connection of this.#connections) connection.swallowForEver();
  }

  /** Commands that reached the link from the plugin, by name; a repeated one counts again, one cut in half does not. */
  commandsSeen(): ReadonlyMap<string, number> {
    return new Map(this.#commands);
  }

  /** The last commands that named the volume, oldest first, with the number of the connection that each came on. */
  traceOf(full: string): readonly string[] {
    const short = full.slice(0, full.lastIndexOf('@'));
    const ids = new Set(
      this.#trace.filter(({ text }) => text.endsWith(` ${full}`) || text.endsWith(` ${short}`)).map(({ on }) => on),
    );
    return this.#trace
      .filter(({ on }) => ids.has(on))
      .map(({ text }) => text)
      .slice(-tracedShown);
  }

  /** What befell, by kind. */
  events(): ReadonlyMap<string, number> {
    const { up, down } = this.#fates.covered;
    return new Map([...this.#events, ['offsets cut up', up], ['offsets cut down', down]]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const connection of this.#connections) connection.destroy();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(near: Socket): void {
    this.#count('connections');
    if (performance.now() < this.#darkUntil) {
      this.#swallow(near);
      return;
    }
    const number = this.#events.get('connections') ?? 0;
    const peer = this.#peer;
    const connection = new LinkedConnection(near, this.#fates.next(), {
      target: this.#setup.target,
      isHostile: () => this.#isHostile,
      count: (event) => this.#count(event),
      onRequest: (seen) => this.#note(seen, peer, number),
      nextOffset: (direction) => this.#fates.nextOffset(direction),
      repeat: (frames) => this.#repeat(frames, peer, number),
      darken: (ms) => {
        this.#darkUntil = performance.now() + ms;
      },
    });
    this.#connections.add(connection);
    near.on('close', () => this.#connections.delete(connection));
  }

  #swallow(near: Socket): void {
    this.#count('connections swallowed');
    this.#keep(near);
    near.resume();
    this.#later(this.#darkUntil - performance.now(), () => near.destroy());
  }

  #repeat(frames: readonly Buffer[], peer: number, connection: number): void {
    for (const frame of frames) this.#noteRepeated(frame, peer, connection);
    const far = connect(this.#setup.target);
    this.#keep(far);
    far.resume();
    far.write(Buffer.concat(frames));
    this.#later(this.#repeats.whole(shortestRepeatMs, longestRepeatMs), () => far.destroy());
    this.#events.set('commands repeated', (this.#events.get('commands repeated') ?? 0) + frames.length - 1);
  }

  #noteRepeated(frame: Buffer, peer: number, connection: number): void {
    const seen = readRequest(frame);
    if (seen.kind === 'other') return;
    const at = new Date().toISOString().slice(11, 23);
    this.#trace.push({
      on: `${peer}/${seen.id}`,
      text: `${at}  id ${seen.id} of connection ${connection} repeated on another`,
    });
  }

  #note(seen: Seen, peer: number, connection: number): void {
    if (seen.kind === 'other') return;
    const what = seen.kind === 'cancel' ? 'cancel' : `${seen.command} ${seen.key.slice(0, 8)} ${seen.name}`;
    const at = new Date().toISOString().slice(11, 23);
    // IDs are never used twice by one process of the plugin, not even on another connection.
    this.#trace.push({ on: `${peer}/${seen.id}`, text: `${at}  connection ${connection}, id ${seen.id}: ${what}` });
    if (this.#trace.length > traced) this.#trace.shift();
    if (seen.kind === 'command') this.#commands.set(seen.command, (this.#commands.get(seen.command) ?? 0) + 1);
  }

  #count(event: string): void {
    this.#events.set(event, (this.#events.get(event) ?? 0) + 1);
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket));
  }

  #later(ms: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms);
    this.#timers.add(timer);
  }
}
