/** For programs that open AF_VSOCK sockets: on any other machine, CID 2 is somebody else's host. */
import { existsSync } from 'node:fs';

/** Made with the guests' root disk. */
const guestMark = '/etc/test-guest-modules';

/** @throws Error where this is no test guest */
export function inGuestOnly(): void {
  if (!existsSync(guestMark)) throw new Error(`this runs in a test guest only: there is no ${guestMark}`);
}
