/**
 * One connection to the service, from hello to its end. Invariants: a reply reaches only the call whose id it bears; a
 * reply without a call, or one that the contract does not know, ends the connection; an abandoned call's reply goes
 * nowhere, and its place is taken until that reply; a peer that went silent is noticed within the keep-alive's limits.
 */
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import { abortable } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import { changes } from './changing-commands.ts';
import type { CommandCounters } from './command-counters.ts';
import { Connection } from './connection.ts';
import {
  type Args,
  type ChannelEvent,
  type CommandName,
  commands,
  protocolVersion,
  type Reply,
  responseSchema,
} from './contract.ts';
import { Delivery } from './delivery.ts';
import { encodeFrame } from './frame.ts';
import { describeIssues } from './issues.ts';
import type { PendingCall } from './pending-call.ts';

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
  /** A reply came, and a place is free. */
  readonly onAnswered: (command: CommandName) => void;
  readonly counters: CommandCounters;
}

interface InFlight {
  readonly call: PendingCall;
  /** Hello and pings: they take no place, and are not repeated. */
  readonly isOurs: boolean;
  isAbandoned: boolean;
}

type WireError = z.infer<typeof errorSchema>['error'];

const [okSchema, errorSchema, eventSchema] = responseSchema.options;

export class ClientConnection {
  readonly #options: ClientConnectionOptions;
  readonly #connection: Connection;
  readonly #delivery = new Delivery();
  readonly #inFlight = new Map<number, InFlight>();
  readonly #ids = new Map<PendingCall, number>();
  /** Fires after a silence; every message winds it up again. */
  #idleTimer: NodeJS.Timeout | undefined;
  #silenceTimer: NodeJS.Timeout | undefined;
  #ours = 0;

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

  /** Calls sent and not answered, abandoned ones too. */
  get inFlight(): number {
    return this.#inFlight.size - this.#ours;
  }

  /** Calls that are neither answered nor abandoned, in the order in which they were sent. */
  unanswered(): PendingCall[] {
    const waiting = this.#inFlight.values().filter(({ isOurs, isAbandoned }) => !isOurs && !isAbandoned);
    return waiting.map(({ call }) => call).toArray();
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
    this.#send(this.#ourCall('hello', args, resolve, reject), true);
    const reply = (await abortable(promise, signal)) as Reply<'hello'>;
    if (!this.closed.aborted) this.#idleTimer = setTimeout(() => this.#ping(), this.#options.keepAlive.intervalMs);
    return reply;
  }

  /** @throws Fault InvalidRequest, with nothing sent, when the command is too large */
  send(call: PendingCall): void {
    this.#send(call, false);
  }

  #send(call: PendingCall, isOurs: boolean): void {
    const id = this.#options.nextId();
    const { command: cmd, key, args } = call;
    const frame = encodeFrame({ v: protocolVersion, id, cmd, key, args });
    this.#inFlight.set(id, { call, isOurs, isAbandoned: false });
    this.#ids.set(call, id);
    if (isOurs) this.#ours += 1;
    this.#options.counters.add(cmd, call.wasSent ? 'repeated' : 'sent');
    call.wasSent = true;
    this.#connection.sendFrame(frame);
  }

  /** Tells the service that nobody waits for the call any more. */
  abandon(call: PendingCall): void {
    const id = this.#ids.get(call);
    const entry = id === undefined ? undefined : this.#inFlight.get(id);
    if (!entry || entry.isAbandoned) return;
    entry.isAbandoned = true;
    this.#connection.send({ v: protocolVersion, cancel: id });
  }

  destroy(reason: Fault): void {
    this.#connection.destroy(reason);
  }

  #receive(message: unknown): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = undefined;
    this.#idleTimer?.refresh();
    const { success, data } = schemaOf(message).safeParse(message);
    if (!success) {
      this.#reject('a message of the service is not understood');
    } else if ('event' in data) {
      this.#delivery.event(() => this.#options.onEvent(data.event));
    } else {
      this.#delivery.reply(() => this.#settle(data));
    }
  }

  #settle(reply: { readonly id: number } & ({ readonly ok: unknown } | { readonly error: WireError })): void {
    const entry = this.#inFlight.get(reply.id);
    if (!entry) {
      this.#reject('the service answered what was not asked');
      return;
    }
    this.#inFlight.delete(reply.id);
    this.#ids.delete(entry.call);
    if (entry.isOurs) this.#ours -= 1;
    this.#options.counters.add(entry.call.command, 'answered');
    if ('error' in reply) this.#refused(entry, new Fault(reply.error.code, reply.error.message));
    else this.#answered(entry, reply.ok);
  }

  #answered(entry: InFlight, ok: unknown): void {
    const { call } = entry;
    const reply = commands[call.command].ok.safeParse(ok);
    if (!reply.success) {
      const what = `reply to "${call.command}" that is not understood (${describeIssues(reply.error)})`;
      const fault = new Fault('ProtocolMismatch', `${what}; install equal releases in the VM and on the host`);
      this.#refused(
        entry,
        changes(call.command) ? new Fault('OutcomeUnknown', fault.message, { cause: fault }) : fault,
      );
      this.destroy(fault);
      return;
    }
    if (!entry.isAbandoned) call.resolve(reply.data);
    this.#options.onAnswered(call.command);
  }

  #refused({ call, isAbandoned }: InFlight, fault: Fault): void {
    if (!isAbandoned) call.reject(fault);
    this.#options.onAnswered(call.command);
  }

  #reject(why: string): void {
    this.destroy(new Fault('ProtocolMismatch', `${why}; install equal releases in the VM and on the host`));
  }

  #ping(): void {
    const { timeoutMs } = this.#options.keepAlive;
    this.#silenceTimer = setTimeout(() => {
      this.destroy(new Fault('HostUnavailable', `the service did not answer a ping within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    this.#send(this.#ourCall('ping', {}), true);
  }

  #ourCall(
    command: 'hello' | 'ping',
    args: unknown,
    resolve: PendingCall['resolve'] = () => undefined,
    reject: PendingCall['reject'] = () => undefined,
  ): PendingCall {
    return { command, args, key: this.#options.newKey(), isBound: true, wasSent: false, resolve, reject };
  }

  #stop(): void {
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#silenceTimer);
    this.#delivery.stop();
  }
}

function schemaOf(message: unknown): (typeof responseSchema.options)[number] {
  if (typeof message !== 'object' || message === null) return okSchema;
  if ('event' in message) return eventSchema;
  return 'error' in message ? errorSchema : okSchema;
}
