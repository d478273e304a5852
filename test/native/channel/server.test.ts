/** The service against peers that the test plays byte by byte. */
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { type Logger, silentLogger } from '../../../common/logging.ts';
import type { Volume } from '../../../native/channel/contract.ts';
import { encodeFrame, frameMagic, maxBodyBytes } from '../../../native/channel/frame.ts';
import type { Session } from '../../../native/channel/session.ts';
import { dialRaw } from './support/raw-peer.ts';
import { type Answer, ask, gatedCreate, greeted, request } from './support/requests.ts';
import { createArgs, hello, openClient, startService, volume } from './support/service.ts';
import { turns } from './support/waiting.ts';

const never = new AbortController().signal;

test('server: the first frame of version 3 must be hello', async (t) => {
  await using service = await startService();
  const peer = await dialRaw(service.path);
  t.like(await ask(peer, request(7, 'ping')), { id: 7, error: { code: 'InvalidRequest' } });
  await peer.ended();
});

test('server: a hello for other versions is a protocol mismatch, and so is another version of requests', async (t) => {
  await using service = await startService();
  for (const message of [request(1, 'hello', { ...hello, versions: [4] }), { ...request(1, 'hello', hello), v: 4 }]) {
    const peer = await dialRaw(service.path);
    t.like(await ask(peer, message), { id: 1, error: { code: 'ProtocolMismatch' } });
    await peer.ended();
  }
});

test('server: a hello that its handler refuses ends the connection with the reason', async (t) => {
  await using service = await startService({
    handlers: {
      hello: () => {
        throw new Fault('NotAuthorized', 'no such VM');
      },
    },
  });
  const peer = await dialRaw(service.path);
  t.deepEqual(await ask(peer, request(1, 'hello', hello)), {
    id: 1,
    error: { code: 'NotAuthorized', message: 'no such VM' },
  });
  await peer.ended();
});

test('server: commands before the reply to hello, and a second hello, are refused', async (t) => {
  const gate = Promise.withResolvers<never>();
  await using slow = await startService({ handlers: { hello: () => gate.promise } });
  const early = await dialRaw(slow.path);
  early.send(request(0, 'hello', hello));
  t.like(await ask(early, request(1, 'ping')), { id: 1, error: { code: 'InvalidRequest' } });
  await using service = await startService();
  const peer = await greeted(service);
  t.like(await ask(peer, request(1, 'hello', hello)), { id: 1, error: { code: 'InvalidRequest' } });
  t.deepEqual(await ask(peer, request(2, 'ping')), { id: 2, ok: {} });
});

test('server: what cannot be understood is answered with what is wrong, and the connection stays', async (t) => {
  await using service = await startService();
  const peer = await greeted(service);
  for (const [message, expected] of [
    [request(1, 'explode'), /"explode": cmd:/],
    [request(2, 'attach'), /^attach: name:/],
    [request(3, 'attach', { name: '' }), /^attach: name:/],
    [request(4, 'attach', { name: 'a', more: 1 }), /^attach: .*more/],
    [request(5, 'list', { limit: 0 }), /^list: limit:/],
    [request(6, 'ping', {}, 'no uuid'), /"ping": key:/],
    [{ id: 7 }, /command without a name/],
    [{ ...request(8, 'ping'), extra: true }, /extra/],
  ] as const) {
    const { id, error } = await ask(peer, message);
    t.is(id, (message as Answer).id);
    t.is(error?.code, 'InvalidRequest');
    t.regex(error?.message ?? '', expected);
  }
  t.deepEqual(await ask(peer, request(9, 'ping')), { id: 9, ok: {} });
});

test('server: what cannot be answered ends that connection with a logged reason, and no other', async (t) => {
  const lines: unknown[] = [];
  const logger: Logger = {
    ...silentLogger,
    child: () => ({ ...silentLogger, warn: (_, fields) => lines.push(fields) }),
  };
  await using service = await startService({ logger });
  const other = await greeted(service);
  const header = Buffer.alloc(8);
  header.writeUInt32LE(frameMagic, 0);
  header.writeUInt32LE(maxBodyBytes + 1, 4);
  const broken = Buffer.from(encodeFrame({ a: 1 }));
  broken[9] = 0x5d;
  for (const bytes of [
    encodeFrame({ v: 3, cmd: 'ping' }),
    encodeFrame('text'),
    encodeFrame({ v: 3, cancel: 'x' }),
    encodeFrame({ v: 3, id: -1, cmd: 'ping', key: randomUUID(), args: {} }),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    header,
    broken,
  ]) {
    const peer = await greeted(service);
    peer.write(bytes);
    await peer.ended();
    t.deepEqual(await ask(other, request(1, 'ping')), { id: 1, ok: {} });
    t.regex(String((lines.pop() as { error?: string }).error), /frame|command/);
  }
  t.is(service.server.size.sessions, 1);
});

test('server: an id that is in use ends the connection', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const peer = await greeted(service);
  peer.send(request(1, 'create', createArgs('a')));
  peer.send(request(1, 'ping'));
  await peer.ended();
  gate.finish();
  t.is(gate.runs(), 1);
});

test('server: a frame that begins and does not end costs its peer the connection, idleness does not', async (t) => {
  await using service = await startService({ limits: { frameTimeoutMs: 1_000 } });
  const idle = await greeted(service);
  const ping = encodeFrame(request(1, 'ping'));
  idle.write(ping.subarray(0, 11));
  await turns(3);
  idle.write(ping.subarray(11));
  await idle.next();
  const slow = await greeted(service);
  slow.write(ping.subarray(0, 11));
  const mute = await dialRaw(service.path);
  await Promise.all([slow.ended(), mute.ended()]);
  t.deepEqual(await ask(idle, request(1, 'ping')), { id: 1, ok: {} });
});

test('server: a frame cut short by the end of the connection is dropped', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const peer = await greeted(service);
  peer.socket.end(encodeFrame(request(1, 'create', createArgs('a'))).subarray(0, -1));
  await peer.ended();
  t.is(gate.runs(), 0);
});

test('server: a slow command does not hold up the next on its connection', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const peer = await greeted(service);
  peer.send(request(1, 'create', createArgs('a')));
  t.deepEqual(await ask(peer, request(2, 'ping')), { id: 2, ok: {} });
  gate.finish();
  t.like(await peer.next(), { id: 1, ok: { volume: { name: 'a' } } });
});

test('server: more commands than the limit are answered Busy; pings pass', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers, limits: { maxInFlight: 2 } });
  const peer = await greeted(service);
  peer.send(request(1, 'create', createArgs('a')));
  peer.send(request(2, 'create', createArgs('b')));
  t.like(await ask(peer, request(3, 'get', { name: 'c' })), { id: 3, error: { code: 'Busy' } });
  t.deepEqual(await ask(peer, request(4, 'ping')), { id: 4, ok: {} });
  gate.finish();
  await peer.next();
  await peer.next();
  t.like(await ask(peer, request(5, 'get', { name: 'c' })), { id: 5, ok: { volume: { name: 'c' } } });
});

test('server: faults cross as code and sentence; anything else as Internal, without its text', async (t) => {
  const secret = 'password=hunter2';
  await using service = await startService({
    handlers: {
      get: () => {
        throw new Fault('VolumeNotFound', 'a is not there', { cause: new Error(secret) });
      },
      list: () => Promise.reject(new TypeError(secret)),
      remove: () => {
        throw new AggregateError([new Fault('VolumeInUse', 'hidden inside')]);
      },
    },
  });
  const peer = await greeted(service);
  t.deepEqual((await ask(peer, request(1, 'get', { name: 'a' }))).error, {
    code: 'VolumeNotFound',
    message: 'a is not there',
  });
  const { error } = await ask(peer, request(2, 'list', { limit: 1 }));
  t.is(error?.code, 'Internal');
  t.false(error?.message.includes(secret));
  t.is((await ask(peer, request(3, 'remove', { name: 'a' }))).error?.code, 'VolumeInUse');
});

test('server: a reply too large for a frame is answered with a fault that says so', async (t) => {
  const volumes: Volume[] = Array.from({ length: 5000 }, (_, index) => volume(`v${index}`));
  await using service = await startService({ handlers: { list: () => ({ volumes }) } });
  const peer = await greeted(service);
  t.like(await ask(peer, request(1, 'list', { limit: 1000 })), { id: 1, error: { code: 'InvalidRequest' } });
  t.deepEqual(await ask(peer, request(2, 'ping')), { id: 2, ok: {} });
});

test('server: a value returned at once is replied before any event that comes later', async (t) => {
  await using service = await startService({
    handlers: {
      watch: (session) => {
        queueMicrotask(() => session.send({ kind: 'removed', sequence: 1, name: 'a', datastore: 'd' }));
        return { sequence: 0 };
      },
    },
  });
  const peer = await greeted(service);
  t.deepEqual(await ask(peer, request(1, 'watch')), { id: 1, ok: { sequence: 0 } });
  t.like(await peer.next(), { event: { sequence: 1 } });
});

test('server: a peer that does not read costs a bounded amount of memory, and then its connection', async (t) => {
  const sessions: Session[] = [];
  await using service = await startService({
    handlers: {
      watch: (session) => {
        sessions.push(session);
        return { sequence: 0 };
      },
    },
    limits: { maxQueuedBytes: 256 * 1024 },
  });
  const deaf = await greeted(service);
  const other = await greeted(service);
  deaf.send(request(1, 'watch'));
  await deaf.next();
  deaf.socket.pause();
  const [session] = sessions;
  let sent = 0;
  while (session && !session.closed.aborted && sent < 100_000) {
    sent += 1;
    session.send({ kind: 'changed', sequence: sent, volume: volume('a') });
  }
  t.true(sent < 10_000, `${sent} events of some 300 bytes were taken`);
  t.is((session?.closed.reason as Fault).code, 'Busy');
  session?.send({ kind: 'changed', sequence: 1, volume: volume('a') });
  t.deepEqual(await ask(other, request(1, 'ping')), { id: 1, ok: {} });
});

test('server: a client of ours and a hand-made one share a service', async (t) => {
  await using service = await startService();
  await using door = await startService({ server: service.server, vm: { id: 'vm-2', name: 'beta' } });
  await using client = openClient(door);
  const peer = await greeted(service);
  const [reply] = await Promise.all([client.call('get', { name: 'a' }, never), ask(peer, request(1, 'ping'))]);
  t.is(reply.volume.name, 'a');
});
