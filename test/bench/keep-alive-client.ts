/**
 * HTTP/1.1 over one kept Unix-domain connection, as cheap as it can be, so that what is measured is the server.
 * Invariant: one request at a time; whatever ends the connection fails the request under way, and only that.
 */
import { connect, type Socket } from 'node:net';
import { abortable } from '../../common/deadline.ts';

export interface Reply {
  readonly status: number;
  readonly body: Buffer;
  /** From the first byte written to the last one read. */
  readonly ms: number;
}

interface Waiting {
  readonly since: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (reason: Error) => void;
}

export class KeepAliveClient implements Disposable {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #hangUp = (): void => {
    this.#socket.destroy(this.#signal.reason as Error);
  };
  #waiting: Waiting | undefined;
  #chunks: Buffer[] = [];
  #received = 0;
  /** Where the reply under way has its body, once its head is there. */
  #head: { readonly status: number; readonly bodyStart: number; readonly end: number } | undefined;

  private constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    signal.addEventListener('abort', this.#hangUp, { once: true });
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** @param signal its abort ends the connection, whatever it is at */
  static async open(socketPath: string, signal: AbortSignal): Promise<KeepAliveClient> {
    const socket = connect(socketPath);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    socket.once('connect', () => resolve(undefined));
    socket.once('error', reject);
    try {
      await abortable(promise, signal);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    socket.off('error', reject);
    return new KeepAliveClient(socket, signal);
  }

  ask(method: 'GET' | 'POST', path: string, body = ''): Promise<Reply> {
    if (this.#waiting) throw new Error('a request is under way on this connection');
    if (this.#socket.destroyed) throw new Error('the connection has ended');
    const head = `${method} ${path} HTTP/1.1\r\nHost: \r\nContent-Length: ${String(Buffer.byteLength(body))}\r\n\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting = { since: performance.now(), resolve, reject };
      this.#socket.write(head + body);
    });
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#hangUp);
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#received += bytes.length;
    this.#head ??= this.#parseHead();
    const head = this.#head;
    if (!head || this.#received < head.end) return;
    const all = this.#chunks.length === 1 ? bytes : Buffer.concat(this.#chunks);
    const waiting = this.#waiting;
    [this.#chunks, this.#received, this.#head, this.#waiting] = [[], 0, undefined, undefined];
    const ms = performance.now() - (waiting?.since ?? 0);
    waiting?.resolve({ status: head.status, body: all.subarray(head.bodyStart, head.end), ms });
  }

  #parseHead(): { status: number; bodyStart: number; end: number } | undefined {
    const all = Buffer.concat(this.#chunks);
    const end = all.indexOf('\r\n\r\n');
    if (end === -1) return undefined;
    const text = all.toString('latin1', 0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
    if (length === undefined) {
      this.#socket.destroy(new Error(`a reply without a length: ${text}`));
      return undefined;
    }
    const bodyStart = end + 4;
    return { status: Number(text.slice(9, 12)), bodyStart, end: bodyStart + Number(length) };
  }

  #fail(reason: Error): void {
    this.#waiting?.reject(reason);
    this.#waiting = undefined;
  }
}
