/** libvmci's AF_VSOCK, in a guest: over its loopback, to this machine, and from it. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { abortable, deadline } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import { Guest } from './guest.ts';
import { GuestProgram } from './guest-program.ts';
import { checks, closedPort, cuttingPort, echoPort, hostCid } from './vsock-checks.ts';

const listenerPort = 6001;
/** Longer than the kernel's own two seconds. */
const patienceMs = 4000;
/** Of all checks. */
const checksMs = 100_000;
const answerMs = 20_000;
const mebibyte = 1024 * 1024;

async function serve(path: string, server: Server): Promise<Server> {
  server.listen(path);
  await once(server, 'listening');
  return server;
}

async function allOf(socket: Socket): Promise<Buffer> {
  using limit = deadline(answerMs, 'a connection to the guest');
  return await abortable(buffer(socket), limit.signal);
}

interface Outcome {
  readonly title: string;
  readonly failure: string;
}

let guest: Guest;
let outcomes: readonly Outcome[];
const servers: Server[] = [];

test.before(async (t) => {
  guest = await Guest.boot();
  servers.push(
    await serve(
      guest.vsock.socketOf(echoPort),
      createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket).on('error', () => undefined)),
    ),
    await serve(
      guest.vsock.socketOf(cuttingPort),
      createServer((socket) => socket.once('data', () => socket.destroy()).on('error', () => undefined)),
    ),
  );
  let lines = '';
  const onOutput = (text: string): void => {
    lines += text;
  };
  // Those that it did not come to have no outcome, and so fail by themselves.
  const { stderr } = await guest
    .run('node /vmdk/inside/vsock-checks.js', { timeoutMs: checksMs, onOutput })
    .catch((error: unknown) => ({ stderr: messageOf(error) }));
  if (stderr !== '') t.log(stderr);
  outcomes = lines
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Outcome);
});
test.after.always(async () => {
  await guest[Symbol.asyncDispose]();
  for (const server of servers) server.close();
});

for (const title of Object.keys(checks)) {
  test.serial(`vsock in a guest: ${title}`, (t) => {
    const outcome = outcomes.find((found) => found.title === title);
    t.is(outcome?.failure, '');
  });
}

test.serial('vsock in a guest: what dials privileged reaches the host from a source port below 1024', (t) => {
  const { connections } = guest.vsock;
  t.true(connections.some(({ port, isConnected, source }) => port === echoPort && isConnected && source < 1024));
  t.true(connections.some(({ port, isConnected, source }) => port === echoPort && isConnected && source >= 1024));
  t.true(connections.some(({ port, isConnected, source }) => port === closedPort && !isConnected && source < 1024));
});

test.serial('vsock in a guest: a listener is told the host’s port, and refuses an unprivileged one', async (t) => {
  const program = `node /vmdk/inside/vsock-listener.js ${listenerPort}`;
  await using listener = await GuestProgram.start(guest, program, 'listening');
  const privileged = await guest.vsock.dial(listenerPort, 700);
  const sent = randomBytes(mebibyte);
  const back = allOf(privileged);
  privileged.end(sent);
  t.true((await back).equals(sent));
  const unprivileged = await guest.vsock.dial(listenerPort, 2000);
  t.is((await allOf(unprivileged)).length, 0);
  t.is(listener.output, `listening\n${hostCid}:700\n`);
  await t.throwsAsync(guest.vsock.dial(closedPort), { message: /refused/ });
});

test.serial('vsock in a guest: a host that does not answer is waited for as long as asked', async (t) => {
  guest.vsock.pause();
  const program = `node /vmdk/inside/patient-dial.js ${echoPort} ${patienceMs}`;
  await using dialling = await GuestProgram.start(guest, program, 'impatient: ETIMEDOUT at its deadline\n');
  guest.vsock.resume();
  await t.notThrowsAsync(dialling.until('patient: connected\ndone\n'));
});

test.serial('vsock in a guest: connections outlive a pause of the guest', async (t) => {
  const program = `node /vmdk/inside/vsock-listener.js ${listenerPort}`;
  await using _listener = await GuestProgram.start(guest, program, 'listening');
  const socket = await guest.vsock.dial(listenerPort, 700);
  const back = allOf(socket);
  socket.write('before, ');
  await guest.pause();
  socket.write('meanwhile, ');
  await guest.resume();
  socket.end('after');
  t.is(String(await back), 'before, meanwhile, after');
});
