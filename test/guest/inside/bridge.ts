/** Lets the machine outside reach a Unix socket of the guest: bridge.js PORT SOCKET. Says "listening". */
import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import { listenVsock } from '../../../native/vsock.ts';
import { inGuestOnly } from '../in-guest.ts';

const [port, path = ''] = process.argv.slice(2);

inGuestOnly();
await listenVsock({
  port: Number(port),
  refusesUnprivileged: false,
  allowHalfOpen: true,
  onConnection: (outer) => {
    const inner = connect({ path, allowHalfOpen: true });
    pipeline(outer, inner, () => undefined);
    pipeline(inner, outer, () => undefined);
  },
});
console.log('listening');
