/**
 * What must hold of `native/vsock.ts` on real AF_VSOCK sockets. These run inside a test guest only: on the machine
 * outside, whoever answers at a CID is somebody else. `inside/vsock-checks.ts` runs them; each leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import process from 'node:process';
import type { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder, maxBodyBytes } from '../../native/channel/frame.ts';
import { dialer, listen as listenOn } from '../../native/channel/transports.ts';
import { silentLogger } from '../../common/logging.ts';
import type { PumpedListener, PumpedSocket } from '../../native/pumped-streams.ts';
import { type DialRequest, dialVsock, listenVsock, localCid } from '../../native/vsock.ts';

export type Checks = Readonly<Record<string, () => Promise<void>>>;

/** The guest's own, and the one that it is told for itself. */
const loopbackCid = 1;
const guestCid = 3;
export const hostCid = 2;
/** Where the machine outside listens: one that sends back what it gets, one that cuts each connection at its first byte. */
export const echoPort = 5001;
export const cuttingPort = 5002;
export const closedPort = 5003;

const never = new AbortController().signal;
const transferBytes = 4 * 1024 * 1024;
const ownPort = 4001;
const nobody = 65534;

function dial(cid: number, port: number, options: Partial<DialRequest> = {}): Promise<PumpedSocket> {
  return dialVsock({ cid, port, isPrivileged: false, timeoutMs: 10_000, allowHalfOpen: true, ...options }, never);
}

/** A listener and both ends of a connection to it. */
async function pair(options: Partial<DialRequest> = {}): Promise<{
  readonly listener: PumpedListener;
  readonly dialled: PumpedSocket;
  readonly accepted: PumpedSocket;
  readonly end: () => Promise<void>;
}> {
  const { promise, resolve } = Promise.withResolvers<PumpedSocket>();
  const listener = await listenVsock({
    port: ownPort,
    refusesUnprivileged: false,
    allowHalfOpen: true,
    onConnection: resolve,
  });
  const dialled = await dial(loopbackCid, ownPort, options);
  const accepted = await promise;
  const end = async (): Promise<void> => {
    dialled.destroy();
    accepted.destroy();
    await listener.close();
  };
  return { listener, dialled, accepted, end };
}

async function received(socket: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** What goes out comes back, while both directions are busy. */
async function echoes(socket: Duplex): Promise<void> {
  const sent = randomBytes(transferBytes);
  const back = received(socket);
  socket.end(sent);
  assert.ok((await back).equals(sent));
}

/** A message of the channel as long as one may be, through the channel's own transports. */
async function largestFrame(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<Duplex>();
  const vm = { id: 'self', name: 'self' };
  const listener = await listenOn(
    { kind: 'vsock', port: ownPort },
    {
      identify: (peer) => (peer.kind === 'vsock' && peer.cid === loopbackCid ? vm : undefined),
      onConnection: resolve,
      logger: silentLogger,
    },
  );
  const near = await dialer({ kind: 'vsock', cid: loopbackCid, port: ownPort })(never);
  const far = await promise;
  const message = 'x'.repeat(maxBodyBytes - '""\0'.length);
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<unknown>();
  const decoder = new FrameDecoder();
  far.on('data', (chunk: Buffer) => decoder.push(chunk, arrive));
  near.write(encodeFrame(message));
  assert.equal(await arrived, message);
  near.destroy();
  far.destroy();
  await listener.close();
}

async function aHundredConnections(): Promise<void> {
  const accepted: PumpedSocket[] = [];
  const listener = await listenVsock({
    port: ownPort,
    refusesUnprivileged: false,
    onConnection: (socket) => {
      accepted.push(socket);
      socket.pipe(socket).on('error', () => undefined);
    },
  });
  const dialled = await Promise.all(Array.from({ length: 100 }, () => dial(loopbackCid, ownPort)));
  for (const [index, socket] of dialled.entries()) {
    const answer = once(socket, 'data');
    socket.write(`number ${index}`);
    assert.equal(String((await answer)[0]), `number ${index}`);
  }
  for (const [index, socket] of dialled.entries()) (index % 2 === 0 ? socket : accepted[index])?.destroy();
  for (const socket of [...dialled, ...accepted]) socket.destroy();
  await listener.close();
}

async function dialsInTurn(): Promise<void> {
  const count = 20;
  const accepted: PumpedSocket[] = [];
  const listener = await listenVsock({
    port: ownPort,
    refusesUnprivileged: true,
    onConnection: (socket) => {
      accepted.push(socket);
      socket.end('hello');
    },
  });
  for (let turn = 0; turn < count; turn += 1) {
    const socket = await dial(loopbackCid, ownPort, { isPrivileged: true });
    assert.equal(String(await received(socket)), 'hello');
    socket.destroy();
  }
  assert.equal(new Set(accepted.map(({ peerPort }) => peerPort)).size, count);
  for (const socket of accepted) socket.destroy();
  await listener.close();
}

export const checks: Checks = {
  'the guest knows its own CID': async () => {
    assert.equal(await localCid(), guestCid);
  },
  'over the loopback, what is written arrives, both ways at once': async () => {
    const { dialled, accepted, end } = await pair();
    const [there, back] = [randomBytes(transferBytes), randomBytes(transferBytes)];
    dialled.end(there);
    accepted.end(back);
    const [arrived, answered] = await Promise.all([received(accepted), received(dialled)]);
    assert.ok(arrived.equals(there) && answered.equals(back));
    await end();
  },
  'over the loopback, a side that has ended can still be answered': async () => {
    const { dialled, accepted, end } = await pair();
    dialled.end('question');
    assert.equal(String(await received(accepted)), 'question');
    accepted.end('answer');
    assert.equal(String(await received(dialled)), 'answer');
    await end();
  },
  'over the loopback, a cut connection ends the other side': async () => {
    const { dialled, accepted, end } = await pair();
    dialled.write('never read');
    const ended = once(dialled.resume(), 'end');
    accepted.destroy();
    await ended;
    await end();
  },
  'over the loopback, each side is told the other’s address': async () => {
    const { dialled, accepted, end } = await pair({ isPrivileged: true });
    assert.deepEqual([dialled.peerCid, dialled.peerPort], [loopbackCid, ownPort]);
    assert.equal(accepted.peerCid, loopbackCid);
    assert.ok(accepted.peerPort < 1024);
    await end();
  },
  'over the loopback, nobody listening is told by name': async () => {
    await assert.rejects(dial(loopbackCid, closedPort), { code: 'ECONNRESET', syscall: 'connect' });
  },
  'an unprivileged peer is refused, privileged ones each have a port of their own': async () => {
    const ports: number[] = [];
    const both = Promise.withResolvers<undefined>();
    const accepted: PumpedSocket[] = [];
    const listener = await listenVsock({
      port: ownPort,
      refusesUnprivileged: true,
      onConnection: (socket) => {
        accepted.push(socket);
        if (ports.push(socket.peerPort) === 2) both.resolve(undefined);
      },
    });
    const refused = await dial(loopbackCid, ownPort);
    assert.equal((await received(refused)).length, 0);
    const dialled = [
      await dial(loopbackCid, ownPort, { isPrivileged: true }),
      await dial(loopbackCid, ownPort, { isPrivileged: true }),
    ];
    await both.promise;
    assert.equal(new Set(ports).size, 2);
    assert.ok(ports.every((port) => port < 1024));
    for (const socket of [refused, ...dialled, ...accepted]) socket.destroy();
    await listener.close();
  },
  'a late reset of one connection cannot meet the next: each dial is from another privileged port': dialsInTurn,
  'who is not root gets no privileged source port': async () => {
    process.seteuid?.(nobody);
    try {
      await assert.rejects(dial(loopbackCid, ownPort, { isPrivileged: true }), { code: 'EACCES' });
    } finally {
      process.seteuid?.(0);
    }
  },
  'a port that is taken is told by name, and free again after the close': async () => {
    const { listener, end } = await pair();
    const again = { port: ownPort, refusesUnprivileged: false, onConnection: (): void => undefined };
    await assert.rejects(listenVsock(again), { code: 'EADDRINUSE' });
    await listener.close();
    await (await listenVsock(again)).close();
    await end();
  },
  'a dial that is aborted ends at once, with the reason': async () => {
    const reason = new Error('enough');
    const request = { cid: hostCid, port: echoPort, isPrivileged: true, timeoutMs: 10_000 };
    await assert.rejects(dialVsock(request, AbortSignal.abort(reason)), reason);
    const controller = new AbortController();
    const dialling = dialVsock(request, controller.signal);
    controller.abort(reason);
    await assert.rejects(dialling, reason);
  },
  'a message of the channel may be as long as allowed': largestFrame,
  'a hundred connections at once keep their bytes apart': aHundredConnections,
  'to the host, what is written comes back, whatever its size': async () => {
    const socket = await dial(hostCid, echoPort, { isPrivileged: true });
    await echoes(socket);
    socket.destroy();
  },
  'to the host, twenty connections at once keep their bytes apart': async () => {
    const sockets = await Promise.all(Array.from({ length: 20 }, () => dial(hostCid, echoPort)));
    await Promise.all(
      sockets.map(async (socket, index) => {
        const back = received(socket);
        socket.end(`number ${index}`);
        assert.equal(String(await back), `number ${index}`);
      }),
    );
    for (const socket of sockets) socket.destroy();
  },
  'to the host, nobody listening is told by name': async () => {
    await assert.rejects(dial(hostCid, closedPort, { isPrivileged: true }), { code: 'ECONNRESET' });
  },
  'to a machine that is not there, the dial is told so': async () => {
    await assert.rejects(dial(77, echoPort), { code: 'ECONNRESET' });
  },
  'to the host, a connection that is cut there ends here': async () => {
    const socket = await dial(hostCid, cuttingPort, { isPrivileged: true });
    // With 'end', or with an error when bytes were on their way.
    const closed = new Promise((resolve) => socket.on('error', resolve).on('end', resolve));
    socket.resume().write(randomBytes(transferBytes));
    await closed;
    socket.destroy();
  },
};
