/** The other end of a connection, byte by byte: for what a well-behaved client or server would never send. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Dial, dialer } from '../../../../native/channel/transports.ts';
import { encodeFrame, FrameDecoder } from '../../../../native/channel/frame.ts';
import { helloReply, temporaryFolder } from './service.ts';

export interface RawPeer {
  readonly socket: Socket;
  write(bytes: Buffer): void;
  send(message: unknown): void;
  /** The next message; rejects when the connection ends before it. */
  next(): Promise<unknown>;
  /** Resolves when the other side has ended the connection. */
  ended(): Promise<void>;
}

export async function dialRaw(path: string): Promise<RawPeer> {
  const socket = connect(path);
  await once(socket, 'connect');
  return rawPeer(socket);
}

function rawPeer(socket: Socket): RawPeer {
  const decoder = new FrameDecoder();
  const messages: unknown[] = [];
  const waiting: PromiseWithResolvers<unknown>[] = [];
  const over = Promise.withResolvers<undefined>();
  let isOver = false;
  socket.on('data', (chunk: Buffer) => {
    decoder.push(chunk, (message) => {
      const waiter = waiting.shift();
      if (waiter) waiter.resolve(message);
      else messages.push(message);
    });
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isOver = true;
    over.resolve(undefined);
    for (const { reject } of waiting.splice(0)) reject(new Error('the connection ended'));
  });
  return {
    socket,
    write: (bytes) => socket.write(bytes),
    send: (message) => socket.write(encodeFrame(message)),
    next: () => {
      if (messages.length > 0) return Promise.resolve(messages.shift());
      if (isOver) return Promise.reject(new Error('the connection ended'));
      const waiter = Promise.withResolvers<unknown>();
      waiting.push(waiter);
      return waiter.promise;
    },
    ended: async () => {
      await over.promise;
    },
  };
}

export interface RawService extends AsyncDisposable {
  readonly address: string;
  readonly dial: Dial;
  /** The next connection that was accepted. */
  accept(): Promise<RawPeer>;
  /** The next connection, after its hello was answered. */
  greet(): Promise<RawPeer>;
}

export interface RawRequest {
  readonly id: number;
  readonly cmd: string;
  readonly key: string;
  readonly args: unknown;
  readonly cancel?: number;
  readonly withinMs?: number;
}

export async function startRawService(): Promise<RawService> {
  const folder = temporaryFolder();
  const path = join(folder.path, 'r');
  const peers: RawPeer[] = [];
  const waiting: ((peer: RawPeer) => void)[] = [];
  const server = createServer((socket) => {
    const peer = rawPeer(socket);
    sockets.add(socket);
    const waiter = waiting.shift();
    if (waiter) waiter(peer);
    else peers.push(peer);
  });
  const sockets = new Set<Socket>();
  server.listen(path);
  await once(server, 'listening');
  const accept = async (): Promise<RawPeer> => {
    const { promise, resolve } = Promise.withResolvers<RawPeer>();
    const peer = peers.shift();
    if (peer) resolve(peer);
    else waiting.push(resolve);
    return await promise;
  };
  return {
    address: `unix://${path}`,
    dial: dialer({ kind: 'unix', path }),
    accept,
    async greet() {
      const peer = await accept();
      const { id } = (await peer.next()) as RawRequest;
      peer.send({ id, ok: helloReply('raw') });
      return peer;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      folder[Symbol.dispose]();
    },
  };
}
