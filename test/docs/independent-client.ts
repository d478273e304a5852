/**
 * A client written from docs/protocol.md alone: it uses nothing of the product, so that whoever follows that document
 * gets along with the service as it does. Every wait has a deadline; `close` ends the connection.
 */
import { connect, type Socket } from 'node:net';

export type Json = Readonly<Record<string, unknown>>;

const magic = 0x0badbeef;
const headerBytes = 8;
const answerTimeoutMs = 30_000;

function frameOf(message: Json): Buffer {
  const body = Buffer.from(`${JSON.stringify(message)}\0`);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(body.length, 4);
  return Buffer.concat([header, body]);
}

export class IndependentClient {
  readonly #socket: Socket;
  readonly #waiting: (() => void)[] = [];
  readonly #received: Json[] = [];
  #rest = Buffer.alloc(0);
  #isEnded = false;
  #lastId = 0;

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      this.#isEnded = true;
      this.#wake();
    });
  }

  /** Of all that came and was not taken yet, the first that is wanted. Undefined when the connection ended without. */
  async next(isWanted: (message: Json) => boolean): Promise<Json | undefined> {
    const limit = AbortSignal.timeout(answerTimeoutMs);
    for (;;) {
      const index = this.#received.findIndex(isWanted);
      if (index >= 0) return this.#received.splice(index, 1)[0];
      if (this.#isEnded) return undefined;
      await new Promise<void>((resolve, reject) => {
        limit.addEventListener('abort', () => reject(new Error('nothing came in time')), { once: true });
        this.#waiting.push(resolve);
      });
    }
  }

  /** @returns the id that the reply will bear */
  send(cmd: string, key: string, args: Json, more: Json = {}): number {
    this.#lastId += 1;
    this.#socket.write(frameOf({ v: 3, id: this.#lastId, cmd, key, args, ...more }));
    return this.#lastId;
  }

  async ask(cmd: string, key: string, args: Json): Promise<Json> {
    const id = this.send(cmd, key, args);
    return (await this.next((message) => message['id'] === id)) ?? { lost: true };
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= headerBytes) {
      if (this.#rest.readUInt32LE(0) !== magic) throw new Error('a wrong first word');
      const end = headerBytes + this.#rest.readUInt32LE(4);
      if (this.#rest.length < end) break;
      const body = this.#rest.subarray(headerBytes, end - 1);
      if (this.#rest[end - 1] !== 0) throw new Error('no NUL');
      this.#received.push(JSON.parse(body.toString('utf8')) as Json);
      this.#rest = this.#rest.subarray(end);
    }
    this.#wake();
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go();
  }
}
