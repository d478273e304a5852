import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { type Duplex, duplexPair } from 'node:stream';
import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { type Logger, silentLogger } from '../../../common/logging.ts';
import { type Dial, dialer, listen, type ListenOptions, type Vsock } from '../../../native/channel/transports.ts';
import { openClient, startService, temporaryFolder, vm } from './support/service.ts';
import { ChannelServer } from '../../../native/channel/server.ts';
import { handlersWith } from './support/service.ts';

const never = new AbortController().signal;
type Accept = (socket: Duplex & { readonly peerCid: number }) => void;

/** AF_VSOCK in memory: one listener, whose peers have the CID that they are given. */
function fakeVsock(peerCid: number): {
  readonly vsock: () => Promise<Vsock>;
  readonly asked: unknown[];
  readonly open: () => boolean;
} {
  const asked: unknown[] = [];
  let accept: Accept | undefined;
  const vsock: Vsock = {
    dialVsock: (to) => {
      asked.push(to);
      if (!accept) return Promise.reject(new Error('nobody listens'));
      const [near, far] = duplexPair();
      near.on('close', () => far.destroy());
      accept(Object.assign(far, { peerCid }));
      return Promise.resolve(near);
    },
    listenVsock: ({ onConnection, port, refusesUnprivileged }) => {
      asked.push({ port, refusesUnprivileged });
      accept = onConnection;
      return Promise.resolve({
        close: () => {
          accept = undefined;
          return Promise.resolve();
        },
      });
    },
  };
  return { vsock: () => Promise.resolve(vsock), asked, open: () => accept !== undefined };
}

function knowing(
  cid: number,
  onConnection: ListenOptions['onConnection'],
  logger: Logger = silentLogger,
): ListenOptions {
  return { identify: (peer) => (peer.kind === 'vsock' && peer.cid === cid ? vm : undefined), onConnection, logger };
}

test('transports: over vsock the client binds privileged, the host refuses others, and the CID says who it is', async (t) => {
  const { vsock, asked, open } = fakeVsock(42);
  const server = new ChannelServer({ handlers: handlersWith(), protocolV2: undefined, logger: silentLogger });
  const listener = await listen(
    { kind: 'vsock', port: 1019 },
    knowing(42, (stream, peer) => {
      t.is(peer, vm);
      server.serve(stream, peer);
    }),
    vsock,
  );
  const dial: Dial = dialer({ kind: 'vsock', cid: 2, port: 1019 }, vsock);
  const client = openClient({ address: 'vsock://2:1019', dial });
  await client.call('ping', {}, never);
  t.like(asked, [
    { port: 1019, refusesUnprivileged: true },
    { cid: 2, port: 1019, isPrivileged: true },
  ]);
  await client.close();
  await listener.close();
  t.false(open());
  await server.close();
});

test('transports: a peer that is no known VM gets no connection, and a line in the log', async (t) => {
  const { vsock } = fakeVsock(41);
  const lines: unknown[] = [];
  const logger: Logger = { ...silentLogger, warn: (_message, fields) => lines.push(fields) };
  const listener = await listen(
    { kind: 'vsock', port: 1019 },
    knowing(42, () => t.fail(), logger),
    vsock,
  );
  const stream = await dialer({ kind: 'vsock', cid: 2, port: 1019 }, vsock)(never);
  stream.resume();
  await once(stream, 'end');
  t.deepEqual(lines, [{ peer: 'CID 41' }]);
  await listener.close();
});

test('transports: a dial that fails is HostUnavailable, naming the address', async (t) => {
  const { vsock } = fakeVsock(42);
  using folder = temporaryFolder();
  const path = `${folder.path}/none`;
  for (const [dial, address] of [
    [dialer({ kind: 'vsock', cid: 2, port: 7 }, vsock), 'vsock://2:7'],
    [dialer({ kind: 'unix', path }), `unix://${path}`],
  ] as const) {
    const fault = await t.throwsAsync(dial(never), { instanceOf: Fault });
    t.is(fault.code, 'HostUnavailable');
    t.true(fault.message.includes(address));
  }
});

test('transports: an aborted dial rejects with the reason of its signal', async (t) => {
  await using service = await startService();
  const reason = new Error('enough');
  const refused = await t.throwsAsync(service.dial(AbortSignal.abort(reason)));
  t.is(refused, reason);
  const controller = new AbortController();
  const dial = service.dial(controller.signal);
  controller.abort(reason);
  const ended = await t.throwsAsync(dial);
  t.is(ended, reason);
});

test("transports: the socket is its owner's only, unless another mode is asked for", async (t) => {
  using folder = temporaryFolder();
  const options = { identify: () => vm, onConnection: () => undefined, logger: silentLogger };
  for (const [name, mode] of [
    ['own', undefined],
    ['all', 0o666],
  ] as const) {
    const path = `${folder.path}/${name}`;
    const listener = await listen({ kind: 'unix', path }, { ...options, ...(mode && { mode }) });
    t.is((await stat(path)).mode & 0o777, mode ?? 0o600);
    t.is(listener.address, `unix://${path}`);
    await listener.close();
    await t.throwsAsync(stat(path), { code: 'ENOENT' });
  }
});

test('transports: who connects to a Unix socket is told by its path', async (t) => {
  using folder = temporaryFolder();
  const path = `${folder.path}/s`;
  const connected = Promise.withResolvers<Duplex>();
  const listener = await listen(
    { kind: 'unix', path },
    {
      identify: (peer) => (peer.kind === 'unix' && peer.path === path ? vm : undefined),
      onConnection: (stream) => connected.resolve(stream),
      logger: silentLogger,
    },
  );
  const near = await dialer({ kind: 'unix', path })(never);
  const far = await connected.promise;
  far.write('hello');
  const [chunk] = (await once(near, 'data')) as [Buffer];
  t.is(chunk.toString(), 'hello');
  near.destroy();
  far.destroy();
  await listener.close();
});
