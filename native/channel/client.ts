/**
 * The guest's end of the channel: one long-lived connection that many calls share. Invariants: a call ends with its own
 * reply or with a Fault, at the latest when its signal is aborted; calls go out in the order in which they were made, as
 * far as `send-queue.ts` has places; what was sent and not answered is sent again, with the same key, on every new
 * connection until then, and what was answered Busy is sent again after a pause. What waits is bounded: beyond, calls
 * are refused. Replies and events are handed over in the order in which the service sent them (see `delivery.ts`).
 *
 * A call that was given up gives its place back at once, so that commands for one volume that hang do not keep those for
 * others waiting; the service bounds what is at work. Not so with `maxInFlight: 1`, which promises that the service never
 * has two commands at once: there the place is taken until the reply to the call that was given up, or the end of the
 * connection, and all other calls wait as long as that takes, or until their own signals. Nor is a Busy one waited for
 * there: it was answered.
 */
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { Backoff } from './backoff.ts';
import { BusyPauses } from './busy-pauses.ts';
import { ClientConnection, type KeepAlive } from './client-connection.ts';
import { CommandCounters } from './command-counters.ts';
import type { Args, ChannelEvent, CommandName, Reply } from './contract.ts';
import { type Greeting, Link } from './link.ts';
import { givenUp, noteBusy, noteLost, type PendingCall, pendingCall, unanswered } from './pending-call.ts';
import { SendQueue } from './send-queue.ts';
import type { Dial } from './transports.ts';

export interface ClientOptions {
  /** For messages; `dial` decides where it goes. */
  readonly address: string;
  readonly dial: Dial;
  readonly hello: Greeting;
  readonly logger: Logger;
  /** Calls on their way at once; 1 is strict lock-step. Hello and keep-alive pings are apart. */
  readonly maxInFlight?: number;
  /**
   * Calls that wait at once for a place, a connection, or a service that is not busy: so many long-running ones, and so
   * many others. Those of a session are not counted.
   */
  readonly maxWaiting?: number;
  /** After each hello, before any waiting call goes out: what is called on the session here is sent first. */
  readonly onSession?: (session: ClientSession) => void;
  readonly onEvent?: (event: ChannelEvent) => void;
  /** With each message of the service, before it is handed over; at least once per keep-alive interval. */
  readonly onHeard?: () => void;
  /** With each connection that was lost or could not be made. */
  readonly onUnreachable?: (fault: Fault) => void;
  /** Pauses before new connections. */
  readonly backoff?: Backoff;
  /** Pauses before a call is sent again that was answered Busy. */
  readonly busyBackoff?: Backoff;
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
  maxWaiting: 4096,
  onSession: () => undefined,
  onEvent: () => undefined,
  onHeard: () => undefined,
  onUnreachable: () => undefined,
  backoff: { minMs: 100, maxMs: 5_000 },
  busyBackoff: { minMs: 20, maxMs: 2_000 },
  keepAlive: { intervalMs: 30_000, timeoutMs: 10_000 },
  connectTimeoutMs: 10_000,
  frameTimeoutMs: 30_000,
} as const;

export class ChannelClient implements AsyncDisposable {
  readonly #options: Required<ClientOptions>;
  readonly #counters = new CommandCounters();
  readonly #closing = new AbortController();
  readonly #queue: SendQueue<PendingCall>;
  readonly #pauses: BusyPauses<PendingCall>;
  readonly #link: Link;
  #connection: ClientConnection | undefined;
  #isSending = false;
  #ids = 0;
  #arrivals = 0;
  #loop: Promise<void> = Promise.resolve();

  /** Starts to connect, and goes on until closed; calls may be made at once. */
  static open(options: ClientOptions): ChannelClient {
    const client = new ChannelClient(options);
    client.#loop = client.#link.run(client.#closing.signal);
    return client;
  }

  private constructor(options: ClientOptions) {
    this.#options = { ...defaults, ...options };
    this.#queue = new SendQueue(this.#options);
    this.#pauses = new BusyPauses(this.#options.busyBackoff, (call) => {
      this.#queue.add(call);
      this.#pump();
    });
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
   * when it could not be sent; with a Fault of class *unsure* when a changing command was sent and not answered; with
   * Busy when too many wait, or when that was all that the service answered until the signal was aborted.
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
    const arrival = (this.#arrivals += 1);
    const call = pendingCall({ command, args, key: randomUUID(), signal, isBound, arrival, resolve, reject });
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
    const obstacle = this.#obstacle(call, session);
    if (obstacle) {
      call.reject(obstacle);
    } else {
      this.#queue.add(call);
      this.#pump();
    }
  }

  #obstacle({ command, lane, isBound }: PendingCall, session: ClientConnection | undefined): Fault | undefined {
    if (this.#closing.signal.aborted) return this.#closing.signal.reason as Fault;
    if (this.#link.refusal) return this.#link.refusal;
    if (session?.closed.aborted) return this.#unreachable();
    if (isBound || !this.#queue.isFull(lane)) return undefined;
    const many = `${this.#queue.waiting(lane)} commands wait for the service at ${this.#options.address}`;
    return new Fault('Busy', `${command}: ${many} already; try again later`);
  }

  #pump(): void {
    const connection = this.#connection;
    while (connection && this.#isSending && !connection.closed.aborted) {
      const call = this.#queue.take();
      if (!call) return;
      try {
        connection.send(call);
      } catch (error) {
        this.#queue.delete(call);
        call.reject(faultOf(error));
      }
    }
  }

  #giveUp(call: PendingCall, reason: unknown): void {
    this.#pauses.end(call);
    const isAnswerToCome = this.#connection?.abandon(call) === true;
    if (!isAnswerToCome || this.#options.maxInFlight > 1) this.#queue.delete(call);
    call.reject(givenUp(call, reason, this.#connection ? undefined : this.#unreachable()));
    this.#pump();
  }

  #busy(call: PendingCall, fault: Fault): void {
    this.#pauses.begin(call, call.busyReplies);
    noteBusy(call, fault);
    this.#queue.setAside(call);
    this.#pump();
  }

  #unreachable(): Fault {
    const { lastError } = this.#link;
    const why = lastError ? `: ${lastError.message}` : '';
    const message = `the service at ${this.#options.address} cannot be reached${why}`;
    return new Fault('HostUnavailable', message, { cause: lastError });
  }

  #newConnection(stream: Duplex): ClientConnection {
    const { logger, keepAlive, frameTimeoutMs, onEvent, onHeard } = this.#options;
    return new ClientConnection(stream, {
      logger,
      keepAlive,
      frameTimeoutMs,
      onEvent,
      onHeard,
      nextId: () => (this.#ids += 1),
      newKey: randomUUID,
      counters: this.#counters,
      onAlive: () => this.#link.isAlive(),
      onBusy: (call, fault) => this.#busy(call, fault),
      onAnswered: (call) => {
        this.#queue.delete(call);
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
    this.#queue.clearSent();
    const sent = connection.unanswered();
    sent.forEach(noteLost);
    if (this.#closing.signal.aborted) {
      this.#failAll(this.#closing.signal.reason as Fault, sent);
      return;
    }
    for (const call of sent) this.#queue.add(call);
    const bound = this.#queue.pending().filter(({ isBound }) => isBound);
    this.#fail(bound, this.#unreachable());
  }

  #failAll(reason: Fault, sent: readonly PendingCall[] = []): void {
    this.#fail([...sent, ...this.#queue.pending()], reason);
  }

  #fail(calls: readonly PendingCall[], reason: Fault): void {
    for (const call of calls) {
      this.#pauses.end(call);
      this.#queue.delete(call);
      call.reject(unanswered(call, reason));
    }
  }
}
