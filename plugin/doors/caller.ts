/**
 * The client of one request. Invariant: `signal` is aborted exactly when the client hung up before the answer was
 * written completely, also while an earlier request of the same connection is still being answered. Left to callers:
 * dispose it when the request has ended.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { abortable, deadline } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';

/** A client that does not take its answer for so long is cut off: it holds up a mount that nobody will use. */
const deliveryMs = 30_000;

export class Caller implements Disposable {
  readonly #controller = new AbortController();
  readonly #socket: Socket;
  readonly #response: ServerResponse;
  readonly #onClose = (): void => {
    this.#controller.abort(new Fault('Cancelled', 'the client hung up before the answer'));
  };

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#socket = request.socket;
    this.#response = response;
    // The response's own event would not tell: it has no connection while earlier answers are due on it.
    if (this.#socket.destroyed) this.#onClose();
    else this.#socket.once('close', this.#onClose);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Answers, and says whether the answer was written completely before the client hung up. */
  async isTold(body: string): Promise<boolean> {
    if (this.signal.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<true>();
    this.#response.once('finish', () => resolve(true));
    sendText(this.#response, 200, body);
    using limit = deadline(deliveryMs, 'delivering the answer', this.signal);
    try {
      return await abortable(promise, limit.signal);
    } catch {
      this.#socket.destroy();
      return false;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.off('close', this.#onClose);
  }
}

/** What Docker's plugins answer with; clients of other kinds are told theirs. */
const dockerType = 'application/vnd.docker.plugins.v1.2+json';

/** Writes a whole answer, past Express's own ways, which cost more than all the rest of a read. */
export function sendText(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  contentType = dockerType,
): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
