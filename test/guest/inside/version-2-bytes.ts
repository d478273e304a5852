/**
 * A client of protocol version 2 as the archived product's guests were: over vsock to CID 2, from a privileged port, a
 * connection per request. The requests are a list of texts in JSON on the input; the replies' bodies are one on the output.
 */
import { json } from 'node:stream/consumers';
import { dialVsock } from '../../../native/vsock.ts';
import { askOn } from '../../esx-service/support/version-2-client.ts';
import { inGuestOnly } from '../in-guest.ts';
import { hostCid } from '../vsock-checks.ts';

const port = 1019;
const never = new AbortController().signal;

async function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  setImmediate(resolve, undefined);
  await promise;
}

inGuestOnly();
const replies: string[] = [];
for (const text of (await json(process.stdin)) as string[]) {
  const socket = await dialVsock({ cid: hostCid, port, isPrivileged: true, timeoutMs: 10_000 }, never);
  replies.push(await askOn(socket, text, turn));
}
console.log(JSON.stringify(replies));
