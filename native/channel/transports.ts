/**
 * Streams to and from peers, whatever carries them. Invariant: who a peer is comes from the transport alone (the CID
 * that the kernel tells, or the socket that it used); a peer that cannot be identified gets no connection.
 */
import { createServer, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { abortable } from '../../common/deadline.ts';
import { Fault, messageOf } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import { listenOnSocket } from '../../common/unix-socket.ts';
import { socketOwner } from '../file-lock.ts';
import { type DialAddress, type ListenAddress, printAddress } from './addresses.ts';

export interface Vm {
  readonly id: string;
  readonly name: string;
}

export type Peer = { readonly kind: 'unix'; readonly path: string } | { readonly kind: 'vsock'; readonly cid: number };

export type Dial = (signal: AbortSignal) => Promise<Duplex>;

/** What is needed of AF_VSOCK; an argument, so that everything around it runs where there is none. */
export interface Vsock {
  dialVsock(
    to: { readonly cid: number; readonly port: number; readonly isPrivileged: boolean; readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<Duplex>;
  listenVsock(options: {
    readonly port: number;
    readonly refusesUnprivileged: boolean;
    readonly onConnection: (socket: Duplex & { readonly peerCid: number }) => void;
    readonly onError: (error: Error) => void;
  }): Promise<{ close(): Promise<void> }>;
}

export interface ListenOptions {
  /** Which VM the peer is, undefined when it is none that we know. */
  readonly identify: (peer: Peer) => Vm | undefined;
  readonly onConnection: (stream: Duplex, vm: Vm) => void;
  readonly logger: Logger;
  /** Of a Unix socket's file. */
  readonly mode?: number;
}

/** Accepts until closed; the connections that it handed out are their owner's. */
export interface Listener {
  readonly address: string;
  close(): Promise<void>;
}

const dialTimeoutMs = 10_000;
const ownerOnly = 0o600;

/** How to reach the address. Each dial rejects with Fault HostUnavailable, or with the signal's reason. */
export function dialer(address: DialAddress, vsock: () => Promise<Vsock> = nativeVsock): Dial {
  return async (signal) => {
    try {
      if (address.kind === 'unix') return await dialUnix(address.path, signal);
      const { cid, port } = address;
      return await (await vsock()).dialVsock({ cid, port, isPrivileged: true, timeoutMs: dialTimeoutMs }, signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof Fault) throw error;
      throw new Fault('HostUnavailable', `cannot reach ${printAddress(address)}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  };
}

/** Binds a privileged source port where the transport has ports, and refuses peers that did not. */
export async function listen(
  address: ListenAddress,
  options: ListenOptions,
  vsock: () => Promise<Vsock> = nativeVsock,
): Promise<Listener> {
  const onError = (error: Error): void => {
    options.logger.warn('a connection could not be accepted', { error: error.message });
  };
  if (address.kind === 'unix') {
    const peer: Peer = { kind: 'unix', path: address.path };
    const server = createServer((socket) => admit(socket, peer, options));
    const socket = await listenOnSocket(server, address.path, {
      mode: options.mode ?? ownerOnly,
      ownerOf: socketOwner,
    });
    server.on('error', onError);
    return { address: printAddress(address), close: () => socket.close() };
  }
  const listener = await (
    await vsock()
  ).listenVsock({
    port: address.port,
    refusesUnprivileged: true,
    onConnection: (socket) => admit(socket, { kind: 'vsock', cid: socket.peerCid }, options),
    onError,
  });
  return { address: printAddress(address), close: () => listener.close() };
}

function admit(stream: Duplex, peer: Peer, { identify, onConnection, logger }: ListenOptions): void {
  const vm = identify(peer);
  if (vm) {
    onConnection(stream, vm);
    return;
  }
  logger.warn('connection from an unknown peer refused', {
    peer: peer.kind === 'unix' ? peer.path : `CID ${peer.cid}`,
  });
  stream.on('error', () => undefined);
  stream.destroy();
}

async function dialUnix(path: string, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const socket = connect(path);
  const onConnect = (): void => resolve(undefined);
  socket.once('connect', onConnect).once('error', reject);
  try {
    await abortable(promise, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.off('connect', onConnect).off('error', reject);
  }
}

async function nativeVsock(): Promise<Vsock> {
  return await import('../vsock.ts');
}
