/**
 * The descriptors that libvmci's streams hand to Node, as Node's own sockets.
 *
 * Invariants: every descriptor received ends in a Socket or is closed; a dial that failed or was cancelled leaves
 * nothing open; a listener's close has resolved only when its port is free. The other side of these sockets is a pump,
 * so a connection that was cut ends as any other does: with 'end', or with an error if we had sent what nobody took.
 */
import { close } from 'node:fs';
import { Socket } from 'node:net';
import { checked, systemError } from './system-error.ts';

export interface PeerAddress {
  readonly peerCid: number;
  readonly peerPort: number;
}
export type PumpedSocket = Socket & PeerAddress;

export interface PumpedListener extends AsyncDisposable {
  /** Refuses new connections and frees the port; those already reported live on. */
  close(): Promise<void>;
}

export interface ListenHandlers {
  readonly onConnection: (socket: PumpedSocket) => void;
  /** Out of descriptors or memory, which passes; or the end of the listener. */
  readonly onError?: (error: Error) => void;
  /** As in net.Socket: the peer's end does not end our side. */
  readonly allowHalfOpen?: boolean;
}

const recordBytes = 12;

interface StreamRecord extends PeerAddress {
  readonly status: number;
}

function decode(bytes: Buffer): StreamRecord {
  return { status: bytes.readInt32LE(0), peerCid: bytes.readUInt32LE(4), peerPort: bytes.readUInt32LE(8) };
}

function adopt(descriptor: number, allowHalfOpen: boolean): Socket {
  return new Socket({ fd: descriptor, readable: true, writable: true, allowHalfOpen });
}

/** The first record on the socket; what comes behind it stays in the socket. */
async function readRecord(socket: Socket, signal: AbortSignal): Promise<StreamRecord> {
  const { promise, resolve, reject } = Promise.withResolvers<StreamRecord>();
  const onReadable = (): void => {
    const bytes = socket.read(recordBytes) as Buffer | null;
    if (bytes?.length === recordBytes) resolve(decode(bytes));
  };
  const onEnd = (): void => reject(new Error('the thread behind a connection has ended without a word'));
  const onAbort = (): void => reject(signal.reason as Error);
  socket.on('readable', onReadable).on('end', onEnd).on('error', reject);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await promise;
  } finally {
    socket.off('readable', onReadable).off('end', onEnd).off('error', reject);
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Waits for the connection behind a descriptor of a dial.
 * @param descriptor what the C function returned, also when that is a failure
 */
export async function awaitDial(
  descriptor: number,
  options: { readonly allowHalfOpen?: boolean },
  signal: AbortSignal,
): Promise<PumpedSocket> {
  const socket = adopt(checked(descriptor, 'connect'), options.allowHalfOpen ?? false);
  try {
    signal.throwIfAborted();
    const { status, peerCid, peerPort } = await readRecord(socket, signal);
    checked(status, 'connect', `${peerCid}:${peerPort}`);
    return Object.assign(socket, { peerCid, peerPort });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Gives out the connections that come on a listener's control descriptor. */
export function serveListener(descriptor: number, handlers: ListenHandlers): PumpedListener {
  const control = adopt(checked(descriptor, 'listen'), true);
  const closed = Promise.withResolvers<undefined>();
  let isClosing = false;
  let unread: Buffer = Buffer.alloc(0);

  const take = ({ status, ...peer }: StreamRecord): void => {
    if (status < 0) handlers.onError?.(systemError(status, 'accept'));
    else if (isClosing) close(status);
    else handlers.onConnection(Object.assign(adopt(status, handlers.allowHalfOpen ?? false), peer));
  };
  control.on('data', (bytes: Buffer) => {
    unread = Buffer.concat([unread, bytes]);
    for (; unread.length >= recordBytes; unread = unread.subarray(recordBytes)) take(decode(unread));
  });
  control.on('error', (error) => handlers.onError?.(error));
  control.on('end', () => control.end());
  control.on('close', () => {
    closed.resolve(undefined);
    if (!isClosing) handlers.onError?.(new Error('the listener has ended by itself'));
  });

  const stop = (): Promise<void> => {
    isClosing = true;
    // Only our writing side: the thread then frees the port, and we read to the end what it reported meanwhile.
    control.end();
    return closed.promise;
  };
  return { close: stop, [Symbol.asyncDispose]: stop };
}
