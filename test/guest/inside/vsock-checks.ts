/** Runs all the checks, one after another; a line of JSON tells the outcome of each. */
import { abortable, deadline } from '../../../common/deadline.ts';
import { checks } from '../vsock-checks.ts';
import { inGuestOnly } from '../in-guest.ts';
import { eventually, nativeThreads, openSockets } from '../../native/support/process-state.ts';

const limitMs = 15_000;

inGuestOnly();
const socketsBefore = await openSockets();
for (const [title, check] of Object.entries(checks)) {
  let failure = '';
  try {
    using limit = deadline(limitMs, title);
    await abortable(check(), limit.signal);
    await eventually('the threads to end', async () => (await nativeThreads()).length === 0);
    await eventually('the sockets to close', async () => (await openSockets()) <= socketsBefore);
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  console.log(JSON.stringify({ title, failure }));
}
