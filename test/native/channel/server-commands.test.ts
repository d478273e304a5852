/** What becomes of commands at work: cancelled, joined, repeated, and when the service closes. */
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { dialRaw } from './support/raw-peer.ts';
import { ask, gatedCreate, greeted, request } from './support/requests.ts';
import { createArgs, startService, volume } from './support/service.ts';

test('server: cancel aborts the command, whose one reply still comes; a copy that comes late on another connection begins nothing', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const [peer, slower] = [await greeted(service), await greeted(service)];
  const key = randomUUID();
  peer.send(request(1, 'create', createArgs('a'), key));
  const signal = await gate.started;
  t.like(await ask(peer, { v: 3, cancel: 1 }), { id: 1, error: { code: 'Cancelled' } });
  t.true(signal.aborted);
  t.like(await ask(slower, request(1, 'create', createArgs('a'), key)), { id: 1, error: { code: 'Cancelled' } });
  t.is(gate.runs(), 1);
});

test('server: cancel of a read, of an unknown id, and twice, harms nothing', async (t) => {
  const gate = Promise.withResolvers<undefined>();
  let aborts = 0;
  await using service = await startService({
    handlers: {
      get: async (_session, { name }, { signal }) => {
        signal.addEventListener('abort', () => (aborts += 1));
        await gate.promise;
        return { volume: volume(name) };
      },
    },
  });
  const peer = await greeted(service);
  peer.send(request(1, 'get', { name: 'a' }));
  for (const cancel of [99, 1, 1]) peer.send({ v: 3, cancel });
  t.deepEqual(await ask(peer, request(2, 'ping')), { id: 2, ok: {} });
  gate.resolve(undefined);
  t.like(await peer.next(), { id: 1, ok: { volume: { name: 'a' } } });
  t.is(aborts, 1);
});

test('server: cancel does not abort what another connection has joined, until that one cancels too', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const [one, other] = [await greeted(service), await greeted(service)];
  const key = randomUUID();
  one.send(request(1, 'create', createArgs('a'), key));
  const signal = await gate.started;
  other.send(request(1, 'create', createArgs('a'), key));
  await ask(other, request(2, 'ping'));
  one.send({ v: 3, cancel: 1 });
  await ask(one, request(2, 'ping'));
  t.false(signal.aborted);
  other.send({ v: 3, cancel: 1 });
  t.like(await other.next(), { id: 1, error: { code: 'Cancelled' } });
  t.true(signal.aborted);
  t.is(gate.runs(), 1);
});

test('server: a lost connection aborts nothing, and its joiner may cancel', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const lost = await greeted(service);
  const key = randomUUID();
  lost.send(request(1, 'create', createArgs('a'), key));
  const signal = await gate.started;
  lost.socket.destroy();
  const peer = await greeted(service);
  peer.send(request(1, 'create', createArgs('a'), key));
  await ask(peer, request(2, 'ping'));
  t.false(signal.aborted);
  t.like(await ask(peer, { v: 3, cancel: 1 }), { id: 1, error: { code: 'Cancelled' } });
});

test('server: a key that is used for another command is refused', async (t) => {
  await using service = await startService();
  const peer = await greeted(service);
  const key = randomUUID();
  await ask(peer, request(1, 'create', createArgs('a'), key));
  t.like(await ask(peer, request(2, 'create', createArgs('b'), key)), { error: { code: 'InvalidRequest' } });
  t.like(await ask(peer, request(3, 'remove', { name: 'a' }, key)), { error: { code: 'InvalidRequest' } });
  t.like(await ask(peer, request(4, 'create', createArgs('a'), key)), { ok: { volume: { name: 'a' } } });
});

test('server: close waits for commands at work, leaves new ones unanswered, and ends the connections', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers, limits: { closeGraceMs: 60_000 } });
  const peer = await greeted(service);
  peer.send(request(1, 'create', createArgs('a')));
  await gate.started;
  const closed = service.server.close();
  peer.send(request(2, 'create', createArgs('b')));
  t.deepEqual(await ask(peer, request(3, 'ping')), { id: 3, ok: {} });
  gate.finish();
  t.like(await peer.next(), { id: 1, ok: { volume: { name: 'a' } } });
  await Promise.all([closed, service.server.close(), peer.ended()]);
  t.is(gate.runs(), 1);
  const late = await dialRaw(service.path);
  await late.ended();
  t.is(service.server.size.sessions, 0);
});

test('server: close cancels what does not finish in time, unanswered', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers, limits: { closeGraceMs: 10 } });
  const peer = await greeted(service);
  peer.send(request(1, 'create', createArgs('a')));
  const signal = await gate.started;
  const reply = t.throwsAsync(peer.next(), { message: 'the connection ended' });
  await service.server.close();
  t.true(signal.aborted);
  await reply;
});
