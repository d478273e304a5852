/** Who is at the other end of a Unix socket. */
import type { Socket } from 'node:net';
import { libvmci } from './ffi.ts';
import { checked } from './system-error.ts';

const peerCall = libvmci.function('vmci_peer_process', 'uint32');

/** The process that made this connection, which may have ended since; undefined where it cannot be told. */
export function peerProcess(connection: Socket): number | undefined {
  // Node has no other name for a connection's descriptor.
  const { _handle: handle } = connection as Socket & { readonly _handle?: { readonly fd?: number } | null };
  if (handle?.fd === undefined || handle.fd < 0) return undefined;
  const pid = checked(peerCall.now(handle.fd), 'peer process', 'connection');
  return pid > 0 ? pid : undefined;
}
