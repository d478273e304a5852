/**
 * One connection to the service, from hello to its end. Invariants: a reply reaches only the call whose id it bears; a
 * reply without a call, or one that the contract does not know, ends the connection; an abandoned call's reply goes
 * nowhere but to `onAnswered`; each command sent says how long its caller still waits; a peer that went silent is
 * noticed within the keep-alive's limits.
 */
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import { abortable, remainingMs } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import { version } from '../../common/version.ts';
import type { CommandCounters } from './command-counters.ts';
import { changes } from './command-traits.ts';
import { Connection } from './connection.ts';
import {
  type Args,
  type ChannelEvent,
  commands,
  maxWithinMs,
  protocolVersion,
  type Reply,
  responseSchema,
} from './contract.ts';
import { Delivery } from './delivery.ts';
import { encodeFrame } from './frame.ts';
import { describeIssues } from './issues.ts';
import { noteSent, type PendingCall, type Request } from './pending-call.ts';

export interface KeepAlive {
  /** Silence after which the peer is pinged, and how long it may take to answer. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface ClientConnectionOptions {
  readonly logger: Logger;
  readonly keepAlive: KeepAlive;
  readonly frameTimeoutMs: number;
  /** Never the same twice. */
  readonly nextId: () => number;
  readonly newKey: () => string;
  readonly onEvent: (event: ChannelEvent) => void;
  /** The service is there: with each message of its. */
  readonly onHeard: () => void;
  /** The reply to a call came, and was handed over unless the call was abandoned. */
  readonly onAnswered: (call: PendingCall) => void;
  /** The service refuses a call for now; it is neither answered nor on its way any more. */
  readonly onBusy: (call: PendingCall, fault: Fault) => void;
  /** A command was answered, a ping too; before any of the two above. */
  readonly onAlive: () => void;
  readonly counters: CommandCounters;
}

interface InFlight {
  readonly request: Request;
  /** The request as a call; undefined for hello and pings, which take no place and are not repeated. */
  readonly call: PendingCall | undefined;
  isAbandoned: boolean;
}

type WireError = z.infer<typeof errorSchema>['error'];

const [okSchema, errorSchema, eventSchema, overSchema] = responseSchema.options;

export class ClientConnection {
  readonly #options: ClientConnectionOptions;
  readonly #connection: Connection;
  readonly #delivery = new Delivery();
  readonly #inFlight = new Map<number, InFlight>();
  readonly #ids = new Map<PendingCall, number>();
  /** Fires after a silence; every message winds it up again. */
  #idleTimer: NodeJS.Timeout | undefined;
  #silenceTimer: NodeJS.Timeout | undefined;

  constructor(stream: Duplex, options: ClientConnectionOptions) {
    this.#options = options;
    const { logger, frameTimeoutMs } = options;
    this.#connection = new Connection(stream, {
      logger,
      frameTimeoutMs,
      onMessage: (message) => this.#receive(message),
    });
    this.closed.addEventListener('abort', () => this.#stop(), { once: true });
  }

  get closed(): AbortSignal {
    return this.#connection.closed;
  }

  /** Calls that are neither answered nor abandoned, in the order in which they were sent. */
  unanswered(): PendingCall[] {
    return Array.from(this.#inFlight.values(), ({ call, isAbandoned }) => (isAbandoned ? undefined : call)).filter(
      (call) => call !== undefined,
    );
  }

  /** Rejects with the service's refusal, ProtocolMismatch, HostUnavailable, or the signal's reason. */
  async greet(args: Args<'hello'>, signal: AbortSignal): Promise<Reply<'hello'>> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const onClosed = (): void => {
      const reason = this.closed.reason as Fault;
      const isMismatch = reason.code === 'ProtocolMismatch';
      reject(
        isMismatch ? reason : new Fault('HostUnavailable', `no reply to hello: ${reason.message}`, { cause: reason }),
      );
    };
    this.closed.addEventListener('abort', onClosed, { once: true });
    this.#send(this.#ourRequest('hello', args, resolve, reject), undefined);
    const reply = (await abortable(promise, signal)) as Reply<'hello'>;
    if (!this.closed.aborted) this.#idleTimer = setTimeout(() => this.#ping(), this.#options.keepAlive.intervalMs);
    return reply;
  }

  /** @throws Fault InvalidRequest, with nothing sent, when the command is too large */
  send(call: PendingCall): void {
    this.#send(call, call);
  }

  #send(request: Request, call: PendingCall | undefined): void {
    const id = this.#options.nextId();
    const { command: cmd, key, args } = request;
    const frame = encodeFrame({ v: protocolVersion, id, cmd, key, args, withinMs: withinMs(request.signal) });
    this.#inFlight.set(id, { request, call, isAbandoned: false });
    this.#options.counters.add(cmd, call?.wasSent ? 'repeated' : 'sent');
    if (call) {
      this.#ids.set(call, id);
      noteSent(call);
    }
    this.#connection.sendFrame(frame);
  }

  /**
   * Tells the service that nobody waits for the call any more.
   * @returns whether it was on its way: then its reply is still to come
   */
  abandon(call: PendingCall): boolean {
    const id = this.#ids.get(call);
    const entry = id === undefined ? undefined : this.#inFlight.get(id);
    if (!entry || entry.isAbandoned) return false;
    entry.isAbandoned = true;
    this.#connection.send({ v: protocolVersion, cancel: id });
    return true;
  }

  destroy(reason: Fault): void {
    this.#connection.destroy(reason);
  }

  #receive(message: unknown): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = undefined;
    this.#idleTimer?.refresh();
    this.#options.onHeard();
    const { success, data } = schemaOf(message).safeParse(message);
    if (!success) {
      this.#reject(isOfVersion2(message) ? onlyVersion2 : `a message of the service is not understood; ${remedy}`);
    } else if ('event' in data) {
      const { event } = data;
      if (event) this.#delivery.event(() => this.#options.onEvent(event));
    } else if ('over' in data) {
      this.destroy(new Fault(data.over.code, data.over.message));
    } else {
      this.#delivery.reply(() => this.#settle(data));
    }
  }

  #settle(reply: { readonly id: number } & ({ readonly ok: unknown } | { readonly error: WireError })): void {
    const entry = this.#inFlight.get(reply.id);
    if (!entry) {
      this.#reject(`the service answered what was not asked; ${remedy}`);
      return;
    }
    const { request, call } = entry;
    this.#inFlight.delete(reply.id);
    if (call) this.#ids.delete(call);
    this.#options.counters.add(request.command, 'answered');
    if (request.command !== 'hello') this.#options.onAlive();
    if ('error' in reply) this.#refused(entry, new Fault(reply.error.code, reply.error.message));
    else this.#answered(entry, reply.ok);
  }

  #answered(entry: InFlight, ok: unknown): void {
    const { request, call, isAbandoned } = entry;
    const reply = commands[request.command].ok.safeParse(ok);
    if (!reply.success) {
      const what = `reply to "${request.command}" that is not understood (${describeIssues(reply.error)})`;
      const fault = new Fault('ProtocolMismatch', `${what}; ${remedy}`);
      const isUnsure = changes(request.command);
      this.#refused(entry, isUnsure ? new Fault('OutcomeUnknown', fault.message, { cause: fault }) : fault);
      this.destroy(fault);
      return;
    }
    if (!isAbandoned) request.resolve(reply.data);
    if (call) this.#options.onAnswered(call);
  }

  #refused({ request, call, isAbandoned }: InFlight, fault: Fault): void {
    if (call && !isAbandoned && fault.class === 'busy') {
      this.#options.onBusy(call, fault);
      return;
    }
    if (!isAbandoned) request.reject(fault);
    if (call) this.#options.onAnswered(call);
  }

  #reject(why: string): void {
    this.destroy(new Fault('ProtocolMismatch', why));
  }

  #ping(): void {
    const { timeoutMs } = this.#options.keepAlive;
    this.#silenceTimer = setTimeout(() => {
      this.destroy(new Fault('HostUnavailable', `the service did not answer a ping within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    this.#send(this.#ourRequest('ping', {}), undefined);
  }

  #ourRequest(
    command: 'hello' | 'ping',
    args: unknown,
    resolve: Request['resolve'] = () => undefined,
    reject: Request['reject'] = () => undefined,
  ): Request {
    return { command, args, key: this.#options.newKey(), signal: undefined, resolve, reject };
  }

  #stop(): void {
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#silenceTimer);
    this.#delivery.stop();
  }
}

const remedy = `install vmdkopsd ${version}, the release of this plugin, on the host`;
const onlyVersion2 = `the service speaks only version 2 of the protocol, as the archived product does, and this plugin ${protocolVersion}; ${remedy}`;

/** How such a service answers what it does not understand. */
function isOfVersion2(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'Error' in message;
}

/** How much less, at most. */
const longestMarginMs = 1_000;

/** A little less than the caller waits, so that the service's own sentence of what kept it comes in time. */
function withinMs(signal: AbortSignal | undefined): number | undefined {
  const leftMs = signal && remainingMs(signal);
  if (leftMs === undefined || leftMs > maxWithinMs) return undefined;
  return Math.max(1, Math.ceil(leftMs - Math.min(longestMarginMs, leftMs / 20)));
}

function schemaOf(message: unknown): (typeof responseSchema.options)[number] {
  if (typeof message !== 'object' || message === null) return okSchema;
  if ('event' in message) return eventSchema;
  if ('over' in message) return overSchema;
  return 'error' in message ? errorSchema : okSchema;
}
