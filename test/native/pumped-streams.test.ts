/** The streams' core and its Node side, over Unix and TCP loopback addresses: only the addresses differ from vsock. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { cString, NativeLibrary } from '../../native/ffi.ts';
import {
  awaitDial,
  type ListenHandlers,
  type PumpedListener,
  type PumpedSocket,
  serveListener,
} from '../../native/pumped-streams.ts';
import { built } from './support/built.ts';
import { eventually, nativeThreads, openSockets } from './support/process-state.ts';
import { scratch } from './support/scratch.ts';

const mebibyte = 1024 * 1024;
const library = new NativeLibrary(await built('testing'));
const dialCall = library.function('vmci_loopback_dial', 'pointer', 'uint32', 'uint32');
const listenCall = library.function('vmci_loopback_listen', 'pointer', 'uint32');
const deafCall = library.function('vmci_loopback_deaf', 'uint32');
const never = new AbortController().signal;

interface DialOptions {
  readonly isPrivileged?: boolean;
  readonly timeoutMs?: number;
  readonly allowHalfOpen?: boolean;
  readonly signal?: AbortSignal;
}

function dial(address: string, options: DialOptions = {}): Promise<PumpedSocket> {
  const { isPrivileged = false, timeoutMs = 5000, signal = never } = options;
  return awaitDial(dialCall.now(cString(address), Number(isPrivileged), timeoutMs), options, signal);
}

function listen(address: string, handlers: ListenHandlers, refusesUnprivileged = false): PumpedListener {
  return serveListener(listenCall.now(cString(address), Number(refusesUnprivileged)), handlers);
}

interface Pair extends AsyncDisposable {
  readonly dialled: PumpedSocket;
  readonly accepted: PumpedSocket;
}

/** Both ends of one pumped connection; each side of it goes through its own pump. */
async function pair(t: ExecutionContext, options: DialOptions = {}): Promise<Pair> {
  const address = (await scratch(t)).path('socket');
  const accepted = Promise.withResolvers<PumpedSocket>();
  const listener = listen(address, { onConnection: accepted.resolve, ...options });
  const dialled = await dial(address, options);
  const other = await accepted.promise;
  return {
    dialled,
    accepted: other,
    async [Symbol.asyncDispose]() {
      dialled.destroy();
      other.destroy();
      await listener.close();
    },
  };
}

/** All that comes until the end. Unlike node:stream/consumers it leaves the socket's other direction alone. */
async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** Every test leaves the process as it was; so they run one after the other. */
let socketsBefore = 0;
test.serial.beforeEach(async () => {
  socketsBefore = await openSockets();
});
test.serial.afterEach.always(async () => {
  await eventually('the threads to end', async () => (await nativeThreads()).length === 0);
  await eventually('the sockets to close', async () => (await openSockets()) <= socketsBefore);
});

test.serial('pump: what is written arrives, both ways at once, whatever its size', async (t) => {
  await using ends = await pair(t);
  const [there, back] = [randomBytes(32 * mebibyte), randomBytes(20 * mebibyte)];
  ends.dialled.end(there);
  ends.accepted.end(back);
  const [arrived, answered] = await Promise.all([received(ends.accepted), received(ends.dialled)]);
  t.true(arrived.equals(there));
  t.true(answered.equals(back));
});

test.serial('pump: any sequence of writes arrives as one stream', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 70_000 }), { maxLength: 20 }), async (chunks) => {
      await using ends = await pair(t);
      for (const chunk of chunks) ends.dialled.write(chunk);
      ends.dialled.end();
      t.true((await received(ends.accepted)).equals(Buffer.concat(chunks)));
    }),
    { numRuns: 25 },
  );
});

test.serial('pump: a side that has ended can still be answered', async (t) => {
  await using ends = await pair(t, { allowHalfOpen: true });
  ends.dialled.end('question');
  t.is((await received(ends.accepted)).toString(), 'question');
  ends.accepted.end('answer');
  t.is((await received(ends.dialled)).toString(), 'answer');
});

/** Passes when bytes had every chance to move on: the pumps of another pair have carried many small ones meanwhile. */
async function roundTrips(ends: Pair, count: number): Promise<void> {
  for (let trip = 0; trip < count; trip++) {
    const arrived = once(ends.accepted, 'data');
    ends.dialled.write('x');
    await arrived;
  }
}

test.serial('pump: a slow reader slows its writer', async (t) => {
  await using clock = await pair(t);
  await using ends = await pair(t);
  const block = Buffer.alloc(64 * 1024);
  let taken = 0;
  const state = { isOpen: true };
  const writing = (async (): Promise<void> => {
    while (state.isOpen && taken < 1000) {
      await new Promise((resolve) => ends.dialled.write(block, resolve));
      taken++;
    }
  })();
  for (let before = -1; before !== taken;) {
    before = taken;
    await roundTrips(clock, 300);
  }
  // Of 1000 blocks only those are gone that the kernel and two pumps hold.
  t.true(taken < 100);
  state.isOpen = false;
  ends.accepted.resume();
  await writing;
});

test.serial('pump: a cut connection ends the other side', async (t) => {
  await using ends = await pair(t);
  const ended = once(ends.dialled.resume(), 'end');
  ends.accepted.destroy();
  await t.notThrowsAsync(ended);
});

/** One that is free now: others may run the same tests on this machine. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test.serial('dial: nobody there is told by name', async (t) => {
  const place = await scratch(t);
  await t.throwsAsync(dial(place.path('nobody')), { code: 'ENOENT' });
  const port = await freePort();
  const error = await t.throwsAsync(dial(String(port)), { code: 'ECONNREFUSED' });
  t.like(error, { syscall: 'connect', path: `2130706433:${port}` });
});

/** A port that lets connections wait: nobody accepts, and its queue is full. */
async function deafPort(t: ExecutionContext): Promise<string> {
  const port = await freePort();
  const descriptor = deafCall.now(port);
  t.true(descriptor >= 0);
  t.teardown(() => closeSync(descriptor));
  const queued = [1, 2].map(() => new Socket().on('error', () => undefined).connect(port, '127.0.0.1'));
  t.teardown(() => queued.forEach((socket) => socket.destroy()));
  await Promise.race(queued.map((socket) => once(socket, 'connect')));
  return String(port);
}

test.serial('dial: it gives up at its deadline, and at once when it is aborted', async (t) => {
  const port = await deafPort(t);
  await t.throwsAsync(dial(port, { timeoutMs: 50 }), { code: 'ETIMEDOUT' });
  const controller = new AbortController();
  const reason = new Error('enough');
  const dialling = dial(port, { timeoutMs: 600_000, signal: controller.signal });
  controller.abort(reason);
  const error = await t.throwsAsync(dialling);
  t.is(error, reason);
  await eventually('the thread to end', async () => (await nativeThreads()).length === 0);
  const late = await t.throwsAsync(dial(port, { signal: controller.signal }));
  t.is(late, reason);
});

test.serial('listen: each connection comes with its peer’s address', async (t) => {
  const port = await freePort();
  const accepted = Promise.withResolvers<PumpedSocket>();
  await using listener = listen(String(port), { onConnection: accepted.resolve });
  const dialled = await dial(String(port));
  t.like(dialled, { peerCid: 0x7f000001, peerPort: port });
  const { peerCid, peerPort } = await accepted.promise;
  t.is(peerCid, 0x7f000001);
  t.true(peerPort >= 1024);
  dialled.destroy();
  (await accepted.promise).destroy();
  await listener.close();
});

test.serial('listen: an unprivileged peer is refused, privileged ones each have a port of their own', async (t) => {
  const accepted: PumpedSocket[] = [];
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const onConnection = (socket: PumpedSocket): void => {
    if (accepted.push(socket) === 2) resolve(undefined);
  };
  const address = String(await freePort());
  await using listener = listen(address, { onConnection }, true);
  const refused = await dial(address);
  await once(refused.resume(), 'close');
  const dialled = [await dial(address, { isPrivileged: true }), await dial(address, { isPrivileged: true })];
  await promise;
  const ports = new Set(accepted.map((socket) => socket.peerPort));
  t.is(ports.size, 2);
  t.true([...ports].every((port) => port < 1024));
  for (const socket of [...dialled, ...accepted]) socket.destroy();
  await listener.close();
});

test.serial('listen: closing frees the address, and leaves its connections alone', async (t) => {
  const address = (await scratch(t)).path('socket');
  const accepted = Promise.withResolvers<PumpedSocket>();
  const failures: Error[] = [];
  const listener = listen(address, { onConnection: accepted.resolve, onError: (error) => failures.push(error) });
  const dialled = await dial(address);
  const other = await accepted.promise;
  await Promise.all([listener.close(), listener.close()]);
  await t.throwsAsync(dial(address), { code: 'ECONNREFUSED' });
  dialled.end('still here');
  t.is((await received(other)).toString(), 'still here');
  t.deepEqual(failures, []);
});

test.serial('listen: an address that is taken is told by name', async (t) => {
  const address = (await scratch(t)).path('socket');
  const onConnection = (): void => undefined;
  await using listener = listen(address, { onConnection });
  t.throws(() => listen(address, { onConnection }), { code: 'EADDRINUSE' });
  await listener.close();
});

test.serial('listen: a connection that comes while it closes leaks nothing', async (t) => {
  const address = (await scratch(t)).path('socket');
  const listener = listen(address, { onConnection: (socket) => socket.destroy() });
  const dialling = Array.from({ length: 30 }, () => dial(address));
  await listener.close();
  const results = await Promise.allSettled(dialling);
  for (const result of results) {
    if (result.status === 'fulfilled') result.value.destroy();
  }
  // The threads and sockets are counted after the test.
  t.is(results.length, 30);
});

test.serial('streams: 200 connections, cut from either side, leave no thread and no descriptor', async (t) => {
  const address = (await scratch(t)).path('socket');
  const accepted: PumpedSocket[] = [];
  const all = Promise.withResolvers<undefined>();
  const onConnection = (socket: PumpedSocket): void => {
    socket.pipe(socket).on('error', () => undefined);
    if (accepted.push(socket) === 200) all.resolve(undefined);
  };
  await using listener = listen(address, { onConnection });
  const dialled = await Promise.all(Array.from({ length: 200 }, () => dial(address)));
  const echoes = dialled.map(async (socket, index) => {
    socket.write(`number ${index}`);
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    return bytes.toString() === `number ${index}`;
  });
  t.true((await Promise.all(echoes)).every(Boolean));
  await all.promise;
  for (const [index, socket] of dialled.entries()) (index % 2 === 0 ? socket : accepted[index])?.destroy();
  await listener.close();
  for (const socket of [...dialled, ...accepted]) socket.destroy();
});
