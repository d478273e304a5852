/**
 * The host's end of the channel. Invariants: what one connection does never harms another; a changing command takes
 * effect once per VM and key, on however many connections it is repeated; what one VM has at work, and what it has us
 * remember, is bounded apart from all others; after `close` no command is started.
 */
import type { Duplex } from 'node:stream';
import { abortable, deadline } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import { Executions } from './executions.ts';
import { LatestHello } from './latest-hello.ts';
import { Outcomes } from './outcomes.ts';
import { ServerSession } from './server-session.ts';
import type { Handlers, SessionHost, V2Handler } from './session.ts';
import type { Vm } from './transports.ts';
import { VmPlaces } from './vm-places.ts';

export interface ServerLimits {
  /** Commands at work for one connection; more are answered Busy. */
  readonly maxInFlight: number;
  /** Changing commands at work for one VM, also those whose connections were lost; more are answered Busy. */
  readonly maxAtWork: number;
  /**
   * Finished changing commands that are remembered for each VM, and for how long. A client repeats only what it saw no
   * reply to, which is at most `maxInFlight` commands, so twice that is enough.
   */
  readonly maxOutcomes: number;
  readonly outcomeAgeMs: number;
  /** From a frame's first byte to its last; from the connection's begin to its first frame. */
  readonly frameTimeoutMs: number;
  /** Output that waits for one peer. */
  readonly maxQueuedBytes: number;
  /** How long `close` waits for commands at work. */
  readonly closeGraceMs: number;
}

export const defaultLimits: ServerLimits = {
  maxInFlight: 256,
  maxAtWork: 1024,
  maxOutcomes: 512,
  outcomeAgeMs: 10 * 60_000,
  frameTimeoutMs: 30_000,
  maxQueuedBytes: 8 * 1024 * 1024,
  closeGraceMs: 20_000,
};

export interface ServerOptions {
  readonly handlers: Handlers;
  /** Undefined when version 2 is not served. */
  readonly protocolV2: V2Handler | undefined;
  readonly logger: Logger;
  readonly limits?: Partial<ServerLimits>;
  /** A clock that never goes back. */
  readonly now?: () => number;
}

/** What peers have to take the last replies before they are cut off. */
const lastWordsMs = 2_000;
const stopping = new Fault('HostUnavailable', 'the service is being stopped');

export class ChannelServer implements AsyncDisposable {
  readonly #host: SessionHost;
  readonly #limits: ServerLimits;
  readonly #sessions = new Set<ServerSession>();
  #closing: Promise<void> | undefined;

  constructor(options: ServerOptions) {
    const { handlers, protocolV2, logger, now = () => performance.now() } = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    const { maxOutcomes: maxEntries, outcomeAgeMs: maxAgeMs } = this.#limits;
    const executions = new Executions(logger);
    const outcomes = new Outcomes({ maxEntries, maxAgeMs }, executions, now);
    const isClosing = (): boolean => this.#closing !== undefined;
    const vmPlaces = new VmPlaces(this.#limits.maxAtWork);
    const latestHello = new LatestHello();
    this.#host = {
      ...this.#limits,
      handlers,
      protocolV2,
      logger,
      executions,
      outcomes,
      vmPlaces,
      latestHello,
      isClosing,
    };
  }

  /** Connections, and keys of changing commands that are remembered. */
  get size(): { readonly sessions: number; readonly outcomes: number } {
    return { sessions: this.#sessions.size, outcomes: this.#host.outcomes.size };
  }

  /** Takes the stream over, and answers on it until either end ends it. The transport says which VM it is. */
  serve(stream: Duplex, vm: Vm): void {
    const session = new ServerSession(stream, vm, this.#host);
    this.#sessions.add(session);
    session.closed.addEventListener('abort', () => this.#sessions.delete(session), { once: true });
    if (this.#closing) session.end(stopping);
  }

  /** Waits for the commands at work, then ends all connections; those that take too long are cancelled unanswered. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    using grace = deadline(this.#limits.closeGraceMs, 'finishing the commands at work');
    await this.#host.executions.idle(grace.signal).catch(() => undefined);
    const closed = [...this.#sessions].map((session) => whenAborted(session.closed));
    for (const session of this.#sessions) session.end(stopping);
    this.#host.executions.abort(new Fault('Cancelled', 'the service is being stopped'));
    using lastWords = deadline(lastWordsMs, 'ending the connections');
    await abortable(Promise.all(closed), lastWords.signal).catch(() => undefined);
    for (const session of this.#sessions) session.destroy(stopping);
  }
}

async function whenAborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  if (signal.aborted) resolve(undefined);
  else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  await promise;
}
