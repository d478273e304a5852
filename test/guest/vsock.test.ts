/** libvmci's AF_VSOCK, in a guest: over its loopback, to this machine, and from it. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { Guest } from './guest.ts';
import { GuestProgram } from './guest-program.ts';
import { checks, closedPort, cuttingPort, echoPort, hostCid } from './vsock-checks.ts';

const listenerPort = 6001;
/** Longer than the kernel's own two seconds. */
const patienceMs = 4000;
const mebibyte = 1024 * 1024;

async function serve(path: string, server: Server): Promise<Server> {
  server.listen(path);
  await once(server, 'listening');
  return server;
}

interface Outcome {
  readonly title: string;
  readonly failure: string;
}

let guest: Guest;
let outcomes: readonly Outcome[];
const servers: Server[] = [];

test.before(async () => {
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
  const lines = await guest.mustRun('node /vmdk/inside/vsock-checks.js', { timeoutMs: 100_000 });
  outcomes = lines
    .trimEnd()
    .split('\n')
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
  const back = buffer(privileged);
  privileged.end(sent);
  t.true((await back).equals(sent));
  const unprivileged = await guest.vsock.dial(listenerPort, 2000);
  t.is((await buffer(unprivileged)).length, 0);
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
  const back = buffer(socket);
  socket.write('before, ');
  await guest.pause();
  socket.write('meanwhile, ');
  await guest.resume();
  socket.end('after');
  t.is(String(await back), 'before, meanwhile, after');
});
