/** The client against a peer that the test plays byte by byte. */
import test from 'ava';
import type { ClientSession } from '../../../native/channel/client.ts';
import { encodeFrame } from '../../../native/channel/frame.ts';
import { type RawRequest, startRawService } from './support/raw-peer.ts';
import { createArgs, helloReply, openClient, volume } from './support/service.ts';
import { faultOfCall, until } from './support/waiting.ts';

const never = new AbortController().signal;
const removed = (sequence: number): unknown => ({ event: { kind: 'removed', sequence, name: 'v', datastore: 'd' } });

test('client: hello comes first, and calls that were made before it follow in their order', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const calls = [client.call('get', { name: 'a' }, never), client.call('get', { name: 'b' }, never)];
  const peer = await service.accept();
  const hello = (await peer.next()) as RawRequest;
  t.like(hello, { v: 3, cmd: 'hello', args: { versions: [3] } });
  peer.send({ id: hello.id, ok: helloReply('one') });
  const requests = [(await peer.next()) as RawRequest, (await peer.next()) as RawRequest];
  t.deepEqual(
    requests.map(({ args }) => args),
    [{ name: 'a' }, { name: 'b' }],
  );
  for (const { id, args } of requests.toReversed()) {
    peer.send({ id, ok: { volume: volume((args as { name: string }).name) } });
  }
  t.deepEqual(
    (await Promise.all(calls)).map((reply) => reply.volume.name),
    ['a', 'b'],
  );
});

test('client: what is called on the session goes out before what waited, and ends with it', async (t) => {
  await using service = await startRawService();
  const watched: Promise<unknown>[] = [];
  await using client = openClient(service, {
    onSession: (session) => {
      watched.push(session.call('watch', {}, never));
    },
  });
  const waiting = client.call('get', { name: 'a' }, never);
  const first = await service.greet();
  t.is(((await first.next()) as RawRequest).cmd, 'watch');
  t.is(((await first.next()) as RawRequest).cmd, 'get');
  first.socket.destroy();
  t.is((await faultOfCall(watched[0] ?? waiting)).code, 'HostUnavailable');
  const second = await service.greet();
  const watch = (await second.next()) as RawRequest;
  const get = (await second.next()) as RawRequest;
  t.deepEqual([watch.cmd, get.cmd], ['watch', 'get']);
  second.send({ id: watch.id, ok: { sequence: 1 } });
  second.send({ id: get.id, ok: { volume: volume('a') } });
  t.deepEqual(await watched[1], { sequence: 1 });
  t.is((await waiting).volume.name, 'a');
});

test('client: a session that is over refuses calls at once', async (t) => {
  await using service = await startRawService();
  const sessions: ClientSession[] = [];
  await using client = openClient(service, { onSession: (session) => sessions.push(session) });
  const first = await service.greet();
  void client.call('ping', {}, never).catch(() => undefined);
  await first.next();
  first.socket.destroy();
  await service.greet();
  t.true(sessions[0]?.closed.aborted);
  t.is(
    (await faultOfCall(sessions[0]?.call('list', { limit: 1 }, never) ?? Promise.resolve())).code,
    'HostUnavailable',
  );
});

test('client: a repeated command bears the same key and another id', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const created = client.call('create', createArgs('db'), never);
  const first = await service.greet();
  const request = (await first.next()) as RawRequest;
  first.socket.destroy();
  const second = await service.greet();
  const repeated = (await second.next()) as RawRequest;
  t.deepEqual({ ...repeated, id: request.id }, request);
  t.not(repeated.id, request.id);
  second.send({ id: repeated.id, ok: { volume: volume('db') } });
  t.is((await created).volume.name, 'db');
});

for (const [what, answer] of [
  ['an id that was not asked', (id: number) => ({ id: id + 1000, ok: { volume: volume('a') } })],
  ['the same id twice', (id: number) => ({ id, ok: { volume: volume('a') } })],
  ['neither reply nor event', () => ({ Error: 'no' })],
  ['half an event', () => ({ event: { kind: 'removed', sequence: 1 } })],
  ['an error without a sentence', (id: number) => ({ id, error: { code: 'Internal' } })],
  ['no object', () => 7],
] as const) {
  test(`client: ${what} ends the connection, and the unanswered are repeated on the next`, async (t) => {
    await using service = await startRawService();
    await using client = openClient(service);
    const first = client.call('get', { name: 'a' }, never);
    const peer = await service.greet();
    const { id } = (await peer.next()) as RawRequest;
    const other = client.call('get', { name: 'b' }, never);
    await peer.next();
    if (what === 'the same id twice') peer.send(answer(id));
    peer.send(answer(id));
    await peer.ended();
    const next = await service.greet();
    const names = what === 'the same id twice' ? ['b'] : ['a', 'b'];
    for (const name of names) {
      const request = (await next.next()) as RawRequest;
      t.deepEqual(request.args, { name });
      next.send({ id: request.id, ok: { volume: volume(name) } });
    }
    t.is((await first).volume.name, 'a');
    t.is((await other).volume.name, 'b');
  });
}

test('client: a reply that is not understood fails its call, unsure if it changed something, and ends the connection', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const create = faultOfCall(client.call('create', createArgs('a'), never));
  const peer = await service.greet();
  peer.send({ id: ((await peer.next()) as RawRequest).id, ok: { nonsense: true } });
  t.is((await create).code, 'OutcomeUnknown');
  await peer.ended();
  const get = faultOfCall(client.call('get', { name: 'a' }, never));
  const next = await service.greet();
  next.send({ id: ((await next.next()) as RawRequest).id, ok: {} });
  t.is((await get).code, 'ProtocolMismatch');
});

test('client: the faults of the service arrive with code and sentence, and harm nothing', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const missing = faultOfCall(client.call('get', { name: 'a' }, never));
  const peer = await service.greet();
  const { id } = (await peer.next()) as RawRequest;
  peer.send({ id, error: { code: 'VolumeNotFound', message: 'a@local is not there' } });
  const { code, message } = await missing;
  t.deepEqual({ code, message }, { code: 'VolumeNotFound', message: 'a@local is not there' });
  t.true(client.isConnected);
});

test('client: a service of another protocol fails calls at once, and is asked again', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const early = faultOfCall(client.call('get', { name: 'a' }, never));
  const peer = await service.accept();
  const { id } = (await peer.next()) as RawRequest;
  peer.send({ id, error: { code: 'ProtocolMismatch', message: 'only version 4' } });
  t.like(await early, { code: 'ProtocolMismatch', message: 'only version 4' });
  t.is((await faultOfCall(client.call('get', { name: 'b' }, never))).code, 'ProtocolMismatch');
  const next = await service.greet();
  await until(() => client.isConnected);
  const late = client.call('get', { name: 'c' }, never);
  next.send({ id: ((await next.next()) as RawRequest).id, ok: { volume: volume('c') } });
  t.is((await late).volume.name, 'c');
});

for (const [what, reply] of [
  ['a reply of version 2', encodeFrame({ Error: 'unknown command' })],
  ['a web server', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
] as const) {
  test(`client: ${what} to hello is a protocol mismatch`, async (t) => {
    await using service = await startRawService();
    await using client = openClient(service);
    const call = faultOfCall(client.call('get', { name: 'a' }, never));
    const peer = await service.accept();
    await peer.next();
    peer.write(reply);
    t.is((await call).code, 'ProtocolMismatch');
  });
}

test('client: a hello that is not answered in time is tried on another connection', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { connectTimeoutMs: 1_000 });
  const call = client.call('get', { name: 'a' }, never);
  const silent = await service.accept();
  await silent.ended();
  const peer = await service.greet();
  peer.send({ id: ((await peer.next()) as RawRequest).id, ok: { volume: volume('a') } });
  t.is((await call).volume.name, 'a');
});

test('client: a silent peer is pinged, and left when it does not answer', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { keepAlive: { intervalMs: 10, timeoutMs: 20 } });
  const call = client.call('create', createArgs('a'), never);
  const dead = await service.greet();
  const create = (await dead.next()) as RawRequest;
  const ping = (await dead.next()) as RawRequest;
  t.deepEqual([create.cmd, ping.cmd], ['create', 'ping']);
  await dead.ended();
  t.regex(client.lastError?.message ?? '', /ping/);
  const peer = await service.greet();
  const repeated = (await peer.next()) as RawRequest;
  t.is(repeated.key, create.key);
  peer.send({ id: repeated.id, ok: { volume: volume('a') } });
  await call;
});

test('client: a peer that answers pings is kept, well beyond the time for one answer', async (t) => {
  const keepAlive = { intervalMs: 5, timeoutMs: 500 };
  await using service = await startRawService();
  let [sessions, heard, pings] = [0, 0, 0];
  const counts = { onSession: () => (sessions += 1), onHeard: () => (heard += 1) };
  await using client = openClient(service, { keepAlive, ...counts });
  const peer = await service.greet();
  const end = performance.now() + 1.5 * keepAlive.timeoutMs;
  while (performance.now() < end) {
    const { id, cmd } = (await peer.next()) as RawRequest;
    t.is(cmd, 'ping');
    t.is(heard, 1 + pings, 'the reply to hello, and to each ping');
    pings += 1;
    peer.send({ id, ok: {} });
  }
  t.is(sessions, 1);
  t.true(client.isConnected);
});

test('client: after a lost connection the unanswered go out first, in their order', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { maxInFlight: 2 });
  const names = ['a', 'b', 'c', 'd'];
  const calls = names.map((name) => client.call('get', { name }, never));
  const first = await service.greet();
  await first.next();
  await first.next();
  first.socket.destroy();
  const second = await service.greet();
  const order: unknown[] = [];
  while (order.length < names.length) {
    const { id, args } = (await second.next()) as RawRequest;
    order.push((args as { name: string }).name);
    second.send({ id, ok: { volume: volume('x') } });
  }
  await Promise.all(calls);
  t.deepEqual(order, names);
});

test('client: an event behind a reply in one packet waits for the reply to be taken in', async (t) => {
  await using service = await startRawService();
  const seen: string[] = [];
  await using client = openClient(service, { onEvent: ({ sequence }) => seen.push(`event ${sequence}`) });
  const read = async (name: string): Promise<void> => {
    const got = await client.call('get', { name }, never);
    await Promise.resolve();
    await Promise.resolve();
    seen.push(got.volume.name);
  };
  const reads = [read('a'), read('b'), read('c')];
  const peer = await service.greet();
  const ids = [await peer.next(), await peer.next(), await peer.next()].map((request) => (request as RawRequest).id);
  const reply = (index: number, name: string): unknown => ({ id: ids[index], ok: { volume: volume(name) } });
  const messages = [removed(1), reply(0, 'a'), removed(2), removed(3), reply(1, 'b'), reply(2, 'c'), removed(4)];
  peer.write(Buffer.concat(messages.map((message) => encodeFrame(message))));
  await Promise.all(reads);
  await until(() => seen.length === 7);
  t.deepEqual(seen, ['event 1', 'a', 'event 2', 'event 3', 'b', 'c', 'event 4']);
});

test('client: a reply that came before the end of its connection counts, wherever it was held', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const calls = [client.call('create', createArgs('a'), never), client.call('create', createArgs('b'), never)];
  const peer = await service.greet();
  const ids = [await peer.next(), await peer.next()].map((request) => (request as RawRequest).id);
  const reply = (index: number): unknown => ({ id: ids[index], ok: { volume: volume(String(index)) } });
  peer.socket.end(Buffer.concat([reply(0), removed(1), reply(1)].map((message) => encodeFrame(message))));
  t.deepEqual(
    (await Promise.all(calls)).map(({ volume: { name } }) => name),
    ['0', '1'],
  );
  t.is(client.counters().create.repeated, 0);
});
