/**
 * Dials a port of CID 2 twice at once, for so many milliseconds, and ten times as long, and tells both outcomes:
 * patient-dial.js PORT MILLISECONDS
 */
import { dialVsock } from '../../../native/vsock.ts';
import { errnoOf } from '../../../common/fault.ts';
import { inGuestOnly } from '../in-guest.ts';
import { hostCid } from '../vsock-checks.ts';

const [port, limitMs] = process.argv.slice(2).map(Number);

async function tell(name: string, timeoutMs: number): Promise<void> {
  const started = performance.now();
  const request = { cid: hostCid, port: port ?? 0, isPrivileged: true, timeoutMs };
  const outcome = await dialVsock(request, new AbortController().signal).then(
    (socket) => {
      socket.destroy();
      return 'connected';
    },
    (error: unknown) => errnoOf(error) ?? String(error),
  );
  const isInTime = performance.now() - started >= timeoutMs;
  console.log(`${name}: ${outcome}${isInTime ? ' at its deadline' : ''}`);
}

inGuestOnly();
await Promise.all([tell('impatient', limitMs ?? 0), tell('patient', 10 * (limitMs ?? 0))]);
console.log('done');
