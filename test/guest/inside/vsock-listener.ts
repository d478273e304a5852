/**
 * Listens on the port that is its argument, sends back what comes from privileged peers, and refuses others. Says
 * "listening", then the address of each peer.
 */
import { listenVsock } from '../../../native/vsock.ts';
import { inGuestOnly } from '../in-guest.ts';

inGuestOnly();
await listenVsock({
  port: Number(process.argv[2]),
  refusesUnprivileged: true,
  allowHalfOpen: true,
  onConnection: (socket) => {
    console.log(`${socket.peerCid}:${socket.peerPort}`);
    socket.pipe(socket);
  },
});
console.log('listening');
