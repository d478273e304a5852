/**
 * The outside end of the guest's agent (see agent.c for the frames). Invariant: every command that was sent ends, with
 * its exit status, with the caller's deadline, or with the reason for which the guest has gone.
 */
import type { Socket } from 'node:net';
import { abortable, deadline } from '../../common/deadline.ts';

export interface GuestResult {
  /** 256 + n: killed by signal n. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What the command reads. */
  readonly input?: Uint8Array;
  /** After this long the command is killed and the wait fails. */
  readonly timeoutMs?: number;
  /** Its abort kills the command, too. */
  readonly signal?: AbortSignal;
  /** Told of its output as it comes; the result then has none. */
  readonly onOutput?: (text: string) => void;
}

const request = { run: 0, kill: 1 } as const;
const answer = { ready: 0, output: 1, errors: 2, exit: 3 } as const;
const headerBytes = 12;
const defaultTimeoutMs = 60_000;
const endMs = 5_000;

interface Running {
  readonly onOutput: (bytes: Buffer) => void;
  readonly stderr: Buffer[];
  readonly exited: PromiseWithResolvers<number>;
}

export class Agent {
  readonly #socket: Socket;
  #ready = Promise.withResolvers<undefined>();
  readonly #running = new Map<number, Running>();
  #lastId = 0;
  #unread: Buffer = Buffer.alloc(0);
  #lost: Error | undefined;

  /** @param socket the guest's virtio port */
  constructor(socket: Socket) {
    this.#socket = socket;
    this.#ready.promise.catch(() => undefined);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // The reason is told by whoever watches the guest, through `lose`.
    socket.on('error', () => undefined);
  }

  /** Resolves when the guest takes commands. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** To be called before the guest starts anew: what ran ends with this, and the promise resolves when it is ready again. */
  restarted(): Promise<void> {
    this.#ready = Promise.withResolvers();
    this.#ready.promise.catch(() => undefined);
    for (const { exited } of this.#running.values()) exited.reject(new Error('the guest starts anew'));
    return this.#ready.promise;
  }

  /** What still runs fails with this reason, as does all that comes later. */
  lose(reason: Error): void {
    this.#lost ??= reason;
    this.#ready.reject(reason);
    for (const { exited } of this.#running.values()) exited.reject(reason);
    this.#socket.destroy();
  }

  async run(command: string, options: RunOptions = {}): Promise<GuestResult> {
    using limit = deadline(options.timeoutMs ?? defaultTimeoutMs, `"${command}" in the guest`, options.signal);
    limit.signal.throwIfAborted();
    if (this.#lost) throw this.#lost;
    const id = ++this.#lastId;
    const stdout: Buffer[] = [];
    const onOutput = (bytes: Buffer): void => {
      if (options.onOutput) options.onOutput(bytes.toString());
      else stdout.push(bytes);
    };
    const running: Running = { onOutput, stderr: [], exited: Promise.withResolvers<number>() };
    this.#running.set(id, running);
    try {
      this.#send(id, request.run, Buffer.concat([Buffer.from(`${command}\0`), options.input ?? Buffer.alloc(0)]));
      const code = await abortable(running.exited.promise, limit.signal);
      const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString();
      return { code, stdout: text(stdout), stderr: text(running.stderr) };
    } catch (error) {
      if (limit.signal.aborted) await this.#kill(id, running);
      throw error;
    } finally {
      this.#running.delete(id);
    }
  }

  /** Returns when it has ended, or when the guest does not say so in due time. */
  async #kill(id: number, { exited }: Running): Promise<void> {
    this.#send(id, request.kill, Buffer.alloc(0));
    using limit = deadline(endMs, 'the end of a killed command');
    await abortable(exited.promise, limit.signal).catch(() => undefined);
  }

  #send(id: number, kind: number, body: Buffer): void {
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32LE(id, 0);
    header.writeUInt32LE(kind, 4);
    header.writeUInt32LE(body.length, 8);
    this.#socket.write(Buffer.concat([header, body]));
  }

  #take(chunk: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, chunk]);
    while (this.#unread.length >= headerBytes) {
      const end = headerBytes + this.#unread.readUInt32LE(8);
      if (this.#unread.length < end) return;
      this.#handle(this.#unread.readUInt32LE(0), this.#unread.readUInt32LE(4), this.#unread.subarray(headerBytes, end));
      this.#unread = this.#unread.subarray(end);
    }
  }

  #handle(id: number, kind: number, body: Buffer): void {
    if (kind === answer.ready) this.#ready.resolve(undefined);
    // Of a command that was given up nobody wants to know.
    const running = this.#running.get(id);
    if (kind === answer.output) running?.onOutput(body);
    if (kind === answer.errors) running?.stderr.push(body);
    if (kind === answer.exit) running?.exited.resolve(body.readInt32LE(0));
  }
}
