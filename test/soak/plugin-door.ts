/**
 * Docker's requests to the plugin, one after another on one kept connection, as dockerd makes them. Invariant: every
 * request ends as an answer, as *dropped* when the plugin closed the connection without one, or as *down* when it was
 * killed meanwhile or did not run. An answer belongs to the life of the plugin in which the request was sent.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { errnoOf } from '../../common/fault.ts';
import { KeepAliveClient } from '../bench/keep-alive-client.ts';
import { Lives } from './lives.ts';

export type Answer =
  | { readonly kind: 'ok'; readonly body: Readonly<Record<string, unknown>> }
  | { readonly kind: 'refused'; readonly status: number; readonly sentence: string }
  | { readonly kind: 'dropped' }
  | { readonly kind: 'down' };

/** Longer than dockerd waits: an answer must always come before. */
const longestMs = 125_000;

export class PluginDoor implements Disposable {
  readonly #socketPath: string;
  readonly #signal: AbortSignal;
  readonly #lives: Lives;
  #connection: KeepAliveClient | undefined;
  /** The one that the connection leads to. */
  #life = 0;

  /** @param lives left out, the plugin lives all the time */
  constructor(socketPath: string, signal: AbortSignal, lives = new Lives()) {
    this.#socketPath = socketPath;
    this.#signal = signal;
    this.#lives = lives;
  }

  /** To the same socket, over a connection of its own. */
  another(): PluginDoor {
    return new PluginDoor(this.#socketPath, this.#signal, this.#lives);
  }

  verb(name: string, body: Readonly<Record<string, unknown>>): Promise<Answer> {
    return this.send('POST', `/VolumeDriver.${name}`, JSON.stringify(body));
  }

  async send(method: 'GET' | 'POST', path: string, body: string): Promise<Answer> {
    const wasGone = this.#lives.watch();
    using limit = deadline(longestMs, `${method} ${path} ${body}`, this.#signal);
    const onLate = (): void => this.#close();
    limit.signal.addEventListener('abort', onLate, { once: true });
    try {
      const connection = await this.#connected();
      const { status, body: text } = await connection.ask(method, path, body);
      return answerOf(status, text.toString());
    } catch (error) {
      this.#close();
      if (limit.signal.aborted) throw limit.signal.reason;
      return withoutAnswer(error, wasGone());
    } finally {
      limit.signal.removeEventListener('abort', onLate);
    }
  }

  /**
   * Asks, and hangs up after so long unless the answer came before: all that has arrived by then is read first.
   * @returns undefined when it hung up
   */
  async hangUp(name: string, body: Readonly<Record<string, unknown>>, afterMs: number): Promise<Answer | undefined> {
    const wasGone = this.#lives.watch();
    const opened = await KeepAliveClient.open(this.#socketPath, this.#signal).catch((error: unknown) =>
      withoutAnswer(error, wasGone()),
    );
    if ('kind' in opened) return opened;
    using connection = opened;
    const answer = connection.ask('POST', `/VolumeDriver.${name}`, JSON.stringify(body)).then(
      ({ status, body: text }) => answerOf(status, text.toString()),
      (error: unknown) => withoutAnswer(error, wasGone()),
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

  async #connected(): Promise<KeepAliveClient> {
    if (this.#life !== this.#lives.number) this.#close();
    this.#life = this.#lives.number;
    return (this.#connection ??= await KeepAliveClient.open(this.#socketPath, this.#signal));
  }

  #close(): void {
    this.#connection?.[Symbol.dispose]();
    this.#connection = undefined;
  }
}

/** @throws what is no end of a connection, or one that nobody killed the plugin for */
function withoutAnswer(error: unknown, wasGone: boolean): Answer {
  const code = errnoOf(error);
  const isEnd = code === 'ECONNRESET' || code === 'EPIPE' || isClosed(error);
  if (wasGone && (isEnd || code === 'ECONNREFUSED' || code === 'ENOENT')) return { kind: 'down' };
  if (isEnd) return { kind: 'dropped' };
  throw error;
}

function isClosed(error: unknown): boolean {
  return error instanceof Error && /^the (server closed the|connection has) /.test(error.message);
}

function answerOf(status: number, text: string): Answer {
  const body = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const { Err } = body;
  if (typeof Err === 'string' && Err !== '') return { kind: 'refused', status, sentence: Err };
  return status === 200 ? { kind: 'ok', body } : { kind: 'refused', status, sentence: text };
}
