/** HTTP/1.1 by hand over a Unix socket: writes what no HTTP library would, and sees every byte that comes back. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export class RawClient implements Disposable {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #wake = Promise.withResolvers<undefined>();
  #isClosed = false;
  /** Resolves when the connection has ended, however that came. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#stir();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true;
        this.#stir();
        resolve();
      });
    });
  }

  static async open(path: string): Promise<RawClient> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  send(bytes: string | Buffer): void {
    this.#socket.write(bytes);
  }

  /** A request as dockerd 20.10 writes it: no content type, an empty Host. */
  post(path: string, body: string | Buffer, headers: readonly string[] = []): void {
    this.send(Buffer.concat([Buffer.from(head('POST', path, Buffer.byteLength(body), headers)), Buffer.from(body)]));
  }

  get(path: string): void {
    this.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  }

  /** The next answer, or undefined when the connection ended without one. */
  async answer(): Promise<Answer | undefined> {
    for (;;) {
      const answer = this.#take();
      if (answer) return answer;
      if (this.#isClosed) return undefined;
      await this.#wake.promise;
    }
  }

  /** Hangs up at once. */
  hangUp(): void {
    this.#socket.destroy();
  }

  /** Says that nothing more will be sent. */
  endSending(): void {
    this.#socket.end();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #stir(): void {
    this.#wake.resolve(undefined);
    this.#wake = Promise.withResolvers<undefined>();
  }

  #take(): Answer | undefined {
    const text = this.#received.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end === -1) return undefined;
    const [first = '', ...lines] = text.slice(0, end).split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers.get('content-length') ?? 0);
    const whole = end + 4 + length;
    if (this.#received.length < whole) return undefined;
    const body = this.#received.subarray(end + 4, whole).toString();
    this.#received = this.#received.subarray(whole);
    return { status: Number(first.split(' ')[1]), headers, body };
  }
}

export function head(method: string, path: string, length: number, headers: readonly string[] = []): string {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: ',
    'User-Agent: Go-http-client/1.1',
    `Content-Length: ${String(length)}`,
  ];
  return [...lines, 'Accept: application/vnd.docker.plugins.v1.2+json', ...headers, '', ''].join('\r\n');
}
