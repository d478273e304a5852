/**
 * The guest's end of the channel: one long-lived connection that many calls share. Invariants: a call ends with its own
 * reply or with a Fault, at the latest when its signal is aborted; calls go out in the order in which they were made;
 * what was sent and not answered is sent again, with the same key, on every new connection until then. Replies and
 * events are handed over in the order in which the service sent them (see `delivery.ts`).
 */
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { ClientConnection, type KeepAlive } from './client-connection.ts';
import { CommandCounters } from './command-counters.ts';
import type { Args, ChannelEvent, CommandName, Reply } from './contract.ts';
import { type Backoff, Link } from './link.ts';
import { givenUp, type PendingCall, unanswered } from './pending-call.ts';
import type { Dial } from './transports.ts';

export interface ClientOptions {
  /** For messages; `dial` decides where it goes. */
  readonly address: string;
  readonly dial: Dial;
  readonly hello: Args<'hello'>;
  readonly logger: Logger;
  /** Calls on their way at once; 1 is strict lock-step. Hello and keep-alive pings are apart. */
  readonly maxInFlight?: number;
  /** After each hello, before any waiting call goes out: what is called on the session here is sent first. */
  readonly onSession?: (session: ClientSession) => void;
  readonly onEvent?: (event: ChannelEvent) => void;
  readonly backoff?: Backoff;
  readonly keepAlive?: KeepAlive;
  /** For a connection and the reply to its hello. */
  readonly connectTimeoutMs?: number;
  readonly frameTimeoutMs?: number;
}

/** One connection, for what must be done anew on each: its calls end with it instead of being repeated. */
export interface ClientSession {
  readonly hello: Reply<'hello'>;
  readonly call: <C extends CommandName>(command: C, args: Args<C>, signal: AbortSignal) => Promise<Reply<C>>;
  /** Aborted when the connection is over. */
  readonly closed: AbortSignal;
}

const defaults = {
  maxInFlight: 64,
  onSession: () => undefined,
  onEvent: () => undefined,
  backoff: { minMs: 100, maxMs: 5_000 },
  keepAlive: { intervalMs: 30_000, timeoutMs: 10_000 },
  connectTimeoutMs: 10_000,
  frameTimeoutMs: 30_000,
} as const;

export class ChannelClient implements AsyncDisposable {
  readonly #options: Required<ClientOptions>;
  readonly #counters = new CommandCounters();
  readonly #closing = new AbortController();
  /** Calls of the session, and all others, in the order in which they are to go out. */
  readonly #bound = new Set<PendingCall>();
  #waiting = new Set<PendingCall>();
  readonly #link: Link;
  #connection: ClientConnection | undefined;
  #isSending = false;
  #ids = 0;
  #loop: Promise<void> = Promise.resolve();

  /** Starts to connect, and goes on until closed; calls may be made at once. */
  static open(options: ClientOptions): ChannelClient {
    const client = new ChannelClient(options);
    client.#loop = client.#link.run(client.#closing.signal);
    return client;
  }

  private constructor(options: ClientOptions) {
    this.#options = { ...defaults, ...options };
    this.#link = new Link({
      ...this.#options,
      newConnection: (stream) => this.#newConnection(stream),
      onUp: (connection, hello) => this.#up(connection, hello),
      onDown: (connection) => this.#down(connection),
      onRefused: (fault) => this.#failAll(fault),
    });
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /** Why the last connection ended, or could not be made. */
  get lastError(): Fault | undefined {
    return this.#link.lastError;
  }

  /** Per command; does not change afterwards. */
  counters(): ReturnType<CommandCounters['snapshot']> {
    return this.#counters.snapshot();
  }

  /**
   * Waits for a connection if there is none. Rejects with the service's Fault; with HostUnavailable naming the address
   * when it could not be sent; with a Fault of class *unsure* when a changing command was sent and not answered.
   */
  call<C extends CommandName>(command: C, args: Args<C>, signal: AbortSignal): Promise<Reply<C>> {
    return this.#call(command, args, signal, undefined);
  }

  /** Rejects all calls, and ends the connection; what the service is doing for us goes on. */
  async close(): Promise<void> {
    const closed = new Fault('HostUnavailable', `the channel to ${this.#options.address} is closed`);
    if (!this.#closing.signal.aborted) {
      this.#closing.abort(closed);
      this.#failAll(closed);
    }
    await this.#loop;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #call<C extends CommandName>(
    command: C,
    args: Args<C>,
    signal: AbortSignal,
    session: ClientConnection | undefined,
  ): Promise<Reply<C>> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const isBound = session !== undefined;
    const call: PendingCall = { command, args, key: randomUUID(), isBound, wasSent: false, resolve, reject };
    const onAbort = (): void => this.#giveUp(call, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal.aborted) onAbort();
      else this.#enqueue(call, session);
      return (await promise) as Reply<C>;
    } catch (error) {
      this.#counters.add(command, 'failed');
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #enqueue(call: PendingCall, session: ClientConnection | undefined): void {
    const obstacle = this.#closing.signal.aborted ? (this.#closing.signal.reason as Fault) : this.#link.refusal;
    if (obstacle) {
      call.reject(obstacle);
    } else if (session?.closed.aborted) {
      call.reject(this.#unreachable());
    } else {
      (session ? this.#bound : this.#waiting).add(call);
      this.#pump();
    }
  }

  #pump(): void {
    const connection = this.#connection;
    while (connection && this.#isSending && !connection.closed.aborted) {
      if (connection.inFlight >= this.#options.maxInFlight) return;
      const [call] = this.#bound.size > 0 ? this.#bound : this.#waiting;
      if (!call) return;
      this.#bound.delete(call);
      this.#waiting.delete(call);
      try {
        connection.send(call);
      } catch (error) {
        call.reject(faultOf(error));
      }
    }
  }

  #giveUp(call: PendingCall, reason: unknown): void {
    this.#bound.delete(call);
    this.#waiting.delete(call);
    this.#connection?.abandon(call);
    call.reject(givenUp(call, reason, this.#connection ? undefined : this.#unreachable()));
  }

  #unreachable(): Fault {
    const { lastError } = this.#link;
    const why = lastError ? `: ${lastError.message}` : '';
    const message = `the service at ${this.#options.address} cannot be reached${why}`;
    return new Fault('HostUnavailable', message, { cause: lastError });
  }

  #newConnection(stream: Duplex): ClientConnection {
    const { logger, keepAlive, frameTimeoutMs, onEvent } = this.#options;
    return new ClientConnection(stream, {
      logger,
      keepAlive,
      frameTimeoutMs,
      onEvent,
      nextId: () => (this.#ids += 1),
      newKey: randomUUID,
      counters: this.#counters,
      onAnswered: (command) => {
        if (command !== 'hello') this.#link.isAlive();
        this.#pump();
      },
    });
  }

  #up(connection: ClientConnection, hello: Reply<'hello'>): void {
    const { logger, onSession } = this.#options;
    this.#connection = connection;
    try {
      onSession({
        hello,
        closed: connection.closed,
        call: (command, args, signal) => this.#call(command, args, signal, connection),
      });
    } catch (error) {
      logger.error('the session could not be set up', failureFields(error));
    }
    this.#isSending = true;
    this.#pump();
  }

  #down(connection: ClientConnection): void {
    this.#connection = undefined;
    this.#isSending = false;
    const sent = connection.unanswered();
    if (this.#closing.signal.aborted) {
      this.#failAll(this.#closing.signal.reason as Fault, sent);
      return;
    }
    const unreachable = this.#unreachable();
    const bound = [...sent.filter(({ isBound }) => isBound), ...this.#bound];
    this.#bound.clear();
    this.#waiting = new Set([...sent.filter(({ isBound }) => !isBound), ...this.#waiting]);
    for (const call of bound) call.reject(unanswered(call, unreachable));
  }

  #failAll(reason: Fault, sent: readonly PendingCall[] = []): void {
    const all = [...sent, ...this.#bound, ...this.#waiting];
    this.#bound.clear();
    this.#waiting.clear();
    for (const call of all) call.reject(unanswered(call, reason));
  }
}
