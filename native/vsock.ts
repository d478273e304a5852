/**
 * AF_VSOCK for Node: VMCI on VMware, virtio on KVM.
 *
 * Invariant: no vsock descriptor ever reaches Node, which cannot use one: libvmci's threads own them and pass the bytes
 * through Unix sockets. Who the peer is comes from the kernel alone.
 */
import { libvmci } from './ffi.ts';
import {
  type ListenHandlers,
  type PumpedListener,
  type PumpedSocket,
  awaitDial,
  serveListener,
} from './pumped-streams.ts';
import { checked } from './system-error.ts';

export interface DialRequest {
  readonly cid: number;
  readonly port: number;
  /** Takes a source port below 1024, which proves to the peer that we are privileged. */
  readonly isPrivileged: boolean;
  readonly timeoutMs: number;
  readonly allowHalfOpen?: boolean;
}

export interface ListenRequest extends ListenHandlers {
  readonly port: number;
  /** Closes connections from source ports of 1024 and above at once, and does not report them. */
  readonly refusesUnprivileged: boolean;
}

const dialCall = libvmci.function('vmci_vsock_dial', 'uint32', 'uint32', 'uint32', 'uint32');
const listenCall = libvmci.function('vmci_vsock_listen', 'uint32', 'uint32');
const localCidCall = libvmci.function('vmci_local_cid');

/** Rejects with the system's error (nobody listening is ECONNRESET), with ETIMEDOUT, or with the signal's reason. */
export async function dialVsock(request: DialRequest, signal: AbortSignal): Promise<PumpedSocket> {
  signal.throwIfAborted();
  const descriptor = dialCall.now(request.cid, request.port, Number(request.isPrivileged), request.timeoutMs);
  return awaitDial(descriptor, request, signal);
}

export async function listenVsock(request: ListenRequest): Promise<PumpedListener> {
  // The first socket of the family may load a kernel module.
  const descriptor = await listenCall.later(request.port, Number(request.refusesUnprivileged));
  return serveListener(descriptor, request);
}

/** This machine's own CID. */
export async function localCid(): Promise<number> {
  return checked(await localCidCall.later(), 'ioctl', '/dev/vsock');
}
