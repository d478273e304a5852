/**
 * One connection to a QEMU's control socket (QMP). Invariants: a command's answer reaches only its asker, and each asker
 * gets one, or a Fault by the end of the connection; a command whose signal was aborted before it was sent is not sent.
 * Left to callers: end the connection when a command that changes something was given up, since QEMU drops what it has
 * not begun of a connection that ends, and nobody would hear of the rest.
 */
import { connect, type Socket } from 'node:net';
import { abortable } from '../../common/deadline.ts';
import { errnoOf, Fault, messageOf } from '../../common/fault.ts';
import * as z from 'zod';

const messageSchema = z.object({
  QMP: z.unknown().optional(),
  id: z.number().optional(),
  return: z.unknown().optional(),
  error: z.object({ class: z.string(), desc: z.string() }).optional(),
  event: z.string().optional(),
  data: z.record(z.string(), z.unknown()).default({}),
});

/** What QEMU refused, in its own words: it has one class for nearly everything. */
export class QmpRefusal extends Error {
  override readonly name = 'QmpRefusal';
  readonly refusalClass: string;

  constructor(refusalClass: string, text: string) {
    super(text);
    this.refusalClass = refusalClass;
  }
}

export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** 64-bit numbers as bigint. */
export type QmpArguments = Readonly<Record<string, unknown>>;

/** Missing from the compiler's library, not from Node. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown };
/** So the kernel says that nobody listens there: the VM is off. */
const offCodes: readonly string[] = ['ENOENT', 'ECONNREFUSED'];

export class QmpConnection implements Disposable {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #greeted = Promise.withResolvers<undefined>();
  readonly #ended = Promise.withResolvers<undefined>();
  #nextId = 0;
  #rest = '';
  #end: Fault | undefined;

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    this.#greeted.promise.catch(() => undefined);
    socket.setEncoding('utf8');
    socket.on('data', (text) => this.#take(String(text)));
    socket.on('error', (error) => this.#endWith(messageOf(error), error));
    socket.on('close', () => this.#endWith('QEMU closed the connection'));
  }

  /**
   * @returns undefined when nobody listens there
   * @throws Fault HostUnavailable that names the socket and what is wrong, Busy when too many wait for it; the signal's
   * reason
   */
  static async open(path: string, signal: AbortSignal): Promise<QmpConnection | undefined> {
    const socket = await dial(path, signal);
    if (!socket) return undefined;
    const connection = new QmpConnection(socket, path);
    try {
      await abortable(connection.#greeted.promise, signal);
      await connection.ask('qmp_capabilities', {}, signal);
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** Resolves when nothing comes over it any more. */
  get ended(): Promise<undefined> {
    return this.#ended.promise;
  }

  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /** The listener neither waits nor throws. */
  onEvent(listener: (event: QmpEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /**
   * @throws QmpRefusal; Fault HostUnavailable when it was not sent, OutcomeUnknown when it may have been done; the
   * signal's reason
   */
  async ask(execute: string, args: QmpArguments, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    if (this.#end) throw new Fault('HostUnavailable', this.#end.message, { cause: this.#end });
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    this.#socket.write(`${JSON.stringify({ execute, arguments: args, id }, withBigNumbers)}\n`);
    try {
      return await abortable(answer.promise, signal);
    } finally {
      this.#pending.delete(id);
    }
  }

  [Symbol.dispose](): void {
    this.#endWith('it was given up');
    this.#socket.destroy();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.#receive(line);
  }

  #receive(line: string): void {
    const { data: message } = messageSchema.safeParse(parsed(line));
    if (!message) {
      this.#endWith('what listens there does not speak QMP; give the path of a QMP socket');
      this.#socket.destroy();
      return;
    }
    if (message.QMP !== undefined) this.#greeted.resolve(undefined);
    if (message.event !== undefined) {
      const event = { name: message.event, data: message.data };
      for (const listener of this.#listeners) listener(event);
    }
    const asker = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (!asker) return;
    if (message.error) asker.reject(new QmpRefusal(message.error.class, message.error.desc));
    else asker.resolve(message.return);
  }

  #endWith(why: string, cause?: unknown): void {
    if (this.#end) return;
    const sentence = `the QMP connection at ${this.#path} has ended: ${why}`;
    this.#end = new Fault('OutcomeUnknown', sentence, { cause });
    this.#greeted.reject(new Fault('HostUnavailable', sentence, { cause }));
    for (const { promise, reject } of this.#pending.values()) {
      promise.catch(() => undefined);
      reject(this.#end);
    }
    this.#ended.resolve(undefined);
  }
}

async function dial(path: string, signal: AbortSignal): Promise<Socket | undefined> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const socket = connect(path);
  socket.once('connect', () => resolve(undefined)).once('error', reject);
  try {
    await abortable(promise, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    if (signal.aborted) throw signal.reason;
    if (offCodes.includes(errnoOf(error) ?? '')) return undefined;
    // The kernel keeps no more connections for QEMU to take.
    const code = errnoOf(error) === 'EAGAIN' ? 'Busy' : 'HostUnavailable';
    throw new Fault(code, `cannot reach the QMP socket ${path}: ${messageOf(error)}`, { cause: error });
  } finally {
    socket.removeAllListeners('error');
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function withBigNumbers(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? rawJSON(value.toString()) : value;
}
