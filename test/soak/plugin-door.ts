/**
 * Docker's requests to the plugin, one after another on one kept connection, as dockerd makes them. Invariant: every
 * request ends as an answer, or as *dropped* when the plugin closed the connection without one.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { KeepAliveClient } from '../bench/keep-alive-client.ts';

export type Answer =
  | { readonly kind: 'ok'; readonly body: Readonly<Record<string, unknown>> }
  | { readonly kind: 'refused'; readonly status: number; readonly sentence: string }
  | { readonly kind: 'dropped' };

/** Longer than dockerd waits: an answer must always come before. */
const longestMs = 125_000;

export class PluginDoor implements Disposable {
  readonly #socketPath: string;
  readonly #signal: AbortSignal;
  #connection: KeepAliveClient | undefined;

  constructor(socketPath: string, signal: AbortSignal) {
    this.#socketPath = socketPath;
    this.#signal = signal;
  }

  /** To the same socket, over a connection of its own. */
  another(): PluginDoor {
    return new PluginDoor(this.#socketPath, this.#signal);
  }

  verb(name: string, body: Readonly<Record<string, unknown>>): Promise<Answer> {
    return this.send('POST', `/VolumeDriver.${name}`, JSON.stringify(body));
  }

  async send(method: 'GET' | 'POST', path: string, body: string): Promise<Answer> {
    const connection = (this.#connection ??= await KeepAliveClient.open(this.#socketPath, this.#signal));
    using limit = deadline(longestMs, `${method} ${path} ${body}`, this.#signal);
    const onLate = (): void => this.#close();
    limit.signal.addEventListener('abort', onLate, { once: true });
    try {
      const { status, body: text } = await connection.ask(method, path, body);
      return answerOf(status, text.toString());
    } catch (error) {
      this.#close();
      if (limit.signal.aborted) throw limit.signal.reason;
      if (isEnd(error)) return { kind: 'dropped' };
      throw error;
    } finally {
      limit.signal.removeEventListener('abort', onLate);
    }
  }

  /**
   * Asks, and hangs up after so long unless the answer came before: all that has arrived by then is read first.
   * @returns undefined when it hung up
   */
  async hangUp(name: string, body: Readonly<Record<string, unknown>>, afterMs: number): Promise<Answer | undefined> {
    using connection = await KeepAliveClient.open(this.#socketPath, this.#signal);
    const answer = connection.ask('POST', `/VolumeDriver.${name}`, JSON.stringify(body)).then(
      ({ status, body: text }) => answerOf(status, text.toString()),
      (error: unknown): Answer => {
        if (isEnd(error)) return { kind: 'dropped' };
        throw error;
      },
    );
    const { promise: patience, resolve } = Promise.withResolvers<undefined>();
    void pause(afterMs, this.#signal).then(
      () => setImmediate(() => setImmediate(() => resolve(undefined))),
      () => resolve(undefined),
    );
    return await Promise.race([answer, patience]);
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  #close(): void {
    this.#connection?.[Symbol.dispose]();
    this.#connection = undefined;
  }
}

function isEnd(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? error.code : undefined;
  return code === 'ECONNRESET' || code === 'EPIPE' || /^the (server closed the|connection has) /.test(error.message);
}

function answerOf(status: number, text: string): Answer {
  const body = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const { Err } = body;
  if (typeof Err === 'string' && Err !== '') return { kind: 'refused', status, sentence: Err };
  return status === 200 ? { kind: 'ok', body } : { kind: 'refused', status, sentence: text };
}
