/**
 * Keeps one connection to the service: dials, says hello, and begins again when it is lost, ever more slowly as long as
 * nothing is answered. Invariants: at most one connection at a time; each that is up is reported up once and then down
 * once; a service that refuses us, or prefers another plugin of this VM, is asked again only at the slowest pace.
 */
import type { Duplex } from 'node:stream';
import { deadline, pause } from '../../common/deadline.ts';
import { type Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { type Backoff, backoffMs } from './backoff.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Args, Reply } from './contract.ts';
import type { Dial } from './transports.ts';

/** What hello says on every connection; when it is said is added to each. */
export type Greeting = Omit<Args<'hello'>, 'saidAtUs'>;

export interface LinkOptions {
  readonly address: string;
  readonly dial: Dial;
  readonly hello: Greeting;
  readonly logger: Logger;
  readonly backoff: Backoff;
  /** For the dial and the reply to hello, together. */
  readonly connectTimeoutMs: number;
  readonly newConnection: (stream: Duplex) => ClientConnection;
  readonly onUp: (connection: ClientConnection, hello: Reply<'hello'>) => void;
  /** In the same turn in which the connection ended. */
  readonly onDown: (connection: ClientConnection) => void;
  /** The service answers, and does not want to talk to us: another protocol, or not for this VM. */
  readonly onRefused: (fault: Fault) => void;
  /** It could not be reached, or was lost, and why; once for each attempt. */
  readonly onUnreachable: (fault: Fault) => void;
}

export class Link {
  readonly #options: LinkOptions;
  #lastError: Fault | undefined;
  #refusal: Fault | undefined;
  #failures = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Why the last connection ended, or could not be made. */
  get lastError(): Fault | undefined {
    return this.#lastError;
  }

  /** Set from a refusal until a connection is up. */
  get refusal(): Fault | undefined {
    return this.#refusal;
  }

  /** To be told when a command was answered: the next loss is the first of its kind. */
  isAlive(): void {
    this.#failures = 0;
  }

  /** Resolves after the abort, when no connection is left. */
  async run(signal: AbortSignal): Promise<void> {
    const { backoff } = this.#options;
    const slowest = { ...backoff, minMs: backoff.maxMs };
    const isUnwanted = (): boolean => this.#refusal !== undefined || this.#lastError?.code === 'TakenOver';
    while (!signal.aborted) {
      await this.#connectAndStay(signal);
      const pauseMs = backoffMs(isUnwanted() ? slowest : backoff, this.#failures);
      this.#failures += 1;
      await pause(pauseMs, signal).catch(() => undefined);
    }
  }

  async #connectAndStay(signal: AbortSignal): Promise<void> {
    try {
      const { connection, hello } = await this.#connect(signal);
      if (connection.closed.aborted) throw connection.closed.reason;
      await this.#stay(connection, hello, signal);
    } catch (error) {
      this.#failed(faultOf(error), signal);
    }
  }

  async #connect(
    signal: AbortSignal,
  ): Promise<{ readonly connection: ClientConnection; readonly hello: Reply<'hello'> }> {
    const { address, connectTimeoutMs, dial, hello, newConnection } = this.#options;
    using limit = deadline(connectTimeoutMs, `connecting to ${address}`, signal);
    const connection = newConnection(await dial(limit.signal));
    try {
      return { connection, hello: await connection.greet({ ...hello, saidAtUs: monotonicUs() }, limit.signal) };
    } catch (error) {
      connection.destroy(faultOf(error));
      throw error;
    }
  }

  async #stay(connection: ClientConnection, hello: Reply<'hello'>, signal: AbortSignal): Promise<void> {
    const { address, logger, onDown, onUp, onUnreachable } = this.#options;
    const { promise: over, resolve } = Promise.withResolvers<undefined>();
    const onClosed = (): void => {
      const reason = connection.closed.reason as Fault;
      this.#lastError = reason;
      onDown(connection);
      resolve(undefined);
    };
    const onAbort = (): void => connection.destroy(faultOf(signal.reason));
    connection.closed.addEventListener('abort', onClosed, { once: true });
    signal.addEventListener('abort', onAbort, { once: true });
    this.#refusal = undefined;
    logger.info('connected to the service', { address, instance: hello.instanceId, vm: hello.vm.name });
    onUp(connection, hello);
    await over;
    signal.removeEventListener('abort', onAbort);
    if (signal.aborted) return;
    const fault = faultOf(this.#lastError);
    logger.warn('lost the service', { address, ...failureFields(fault) });
    onUnreachable(fault);
  }

  #failed(fault: Fault, signal: AbortSignal): void {
    const isNew = this.#lastError?.message !== fault.message;
    this.#lastError = fault;
    if (signal.aborted) return;
    const { address, logger, onRefused, onUnreachable } = this.#options;
    logger[isNew ? 'warn' : 'debug']('cannot connect to the service', { address, ...failureFields(fault) });
    onUnreachable(fault);
    if (fault.class !== 'invalid') return;
    this.#refusal = fault;
    onRefused(fault);
  }
}

/** The same clock in all processes of the machine (CLOCK_MONOTONIC), unlike `performance.now()`. */
function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
