/**
 * The vsock device of one guest, served by our own program over Unix sockets (see vsock-backend/main.c). Invariant: no
 * AF_VSOCK socket is opened on this machine, whose CID 2 is somebody else's.
 */
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { abortable, deadline } from '../../common/deadline.ts';
import { OwnedProcess } from './owned-process.ts';
import { vsockBackendProgram } from './programs.ts';

/** The guest has asked for a connection to this machine. */
export interface GuestConnection {
  readonly source: number;
  readonly port: number;
  readonly isConnected: boolean;
}

const answerMs = 20_000;

export class VsockBackend implements AsyncDisposable {
  readonly #process: OwnedProcess;
  readonly #folder: string;
  readonly #connections: GuestConnection[] = [];
  readonly #ready = Promise.withResolvers<undefined>();

  private constructor(process: OwnedProcess, folder: string) {
    this.#process = process;
    this.#folder = folder;
    createInterface({ input: process.output }).on('line', (line) => this.#take(line));
    void process.ended.then(() => this.#ready.reject(new Error(`the vsock backend has ended: ${process.complaints}`)));
    this.#ready.promise.catch(() => undefined);
  }

  /** @param folder where its sockets are; the guest's CID is told to the guest alone, and need not be unique here */
  static async start(folder: string, cid: number): Promise<VsockBackend> {
    const [device, prefix] = [join(folder, 'vsock-device'), join(folder, 'vsock')];
    const backend = new VsockBackend(
      new OwnedProcess([await vsockBackendProgram(), device, prefix, String(cid)]),
      folder,
    );
    try {
      using limit = deadline(answerMs, 'starting the vsock backend');
      await abortable(backend.#ready.promise, limit.signal);
      return backend;
    } catch (error) {
      await backend[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** For QEMU. */
  get deviceSocket(): string {
    return join(this.#folder, 'vsock-device');
  }

  /** The Unix socket that a guest's connection to CID 2 and this port goes to. */
  socketOf(port: number): string {
    return join(this.#folder, `vsock_${port}`);
  }

  /** What the guest has asked for so far, with the source ports, which Unix sockets cannot tell. */
  get connections(): readonly GuestConnection[] {
    return this.#connections;
  }

  /** Connects to a port of the guest, from any source port or from this one. Rejects when the guest refuses. */
  async dial(port: number, source?: number): Promise<Socket> {
    using limit = deadline(answerMs, `dialling the guest's port ${port}`);
    const socket = connect({ path: join(this.#folder, 'vsock'), allowHalfOpen: true });
    try {
      socket.write(source === undefined ? `CONNECT ${port}\n` : `CONNECT ${port} ${source}\n`);
      await abortable(readLine(socket), limit.signal);
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** A host that hears nothing and answers nothing, until `resume`. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  resume(): void {
    this.#process.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    // Where they are the next one listens; the sockets of ports are their listeners'.
    for (const socket of [this.deviceSocket, join(this.#folder, 'vsock')]) await rm(socket, { force: true });
  }

  #take(line: string): void {
    if (line === 'ready') this.#ready.resolve(undefined);
    const [, source, port, outcome] = /^(\d+) -> (\d+) (\w+)$/.exec(line) ?? [];
    if (source === undefined) return;
    this.#connections.push({ source: Number(source), port: Number(port), isConnected: outcome === 'connected' });
  }
}

/** The line that comes before the guest's own bytes, none of which it takes. */
async function readLine(socket: Socket): Promise<string> {
  for (let line = ''; ;) {
    const byte = socket.read(1) as Buffer | null;
    if (byte?.[0] === 0x0a) return line;
    if (byte) line += byte.toString('latin1');
    else if (socket.readableEnded) throw new Error('the guest has refused the connection');
    else await Promise.race([once(socket, 'readable'), once(socket, 'end')]);
  }
}
