/** How long and how much the service works for a guest: the time that a command is given, and the places of each VM. */
import { randomUUID } from 'node:crypto';
import test from 'ava';
import type { Handlers } from '../../../native/channel/session.ts';
import type { RawPeer } from './support/raw-peer.ts';
import { ask, gatedCreate, greeted, request } from './support/requests.ts';
import { createArgs, startService, volume } from './support/service.ts';
import { until } from './support/waiting.ts';

const within = (withinMs: number, message: object): object => ({ ...message, withinMs });
/** Long enough for what a test does meanwhile. */
const shortMs = 300;

/** Runs until nobody waits for it; but a volume called "quick" is there at once. Keeps the signals. */
function endlessGet(signals: AbortSignal[]): Handlers['get'] {
  return async (_session, { name }, { signal }) => {
    signals.push(signal);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    signal.addEventListener('abort', () => reject(signal.reason as Error));
    if (name === 'quick') resolve(undefined);
    await promise;
    return { volume: volume(name) };
  };
}

/** Returns when all times of that length have ended that began before. */
async function passTime(peer: RawPeer, withinMs: number): Promise<unknown> {
  return (await ask(peer, within(withinMs, request(999, 'get', { name: 'slow' })))).error?.code;
}

test('server: a command whose time is over is ended as with cancel, and its one reply still comes', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const peer = await greeted(service);
  peer.send(within(20, request(1, 'create', createArgs('a'))));
  const signal = await gate.started;
  const { id, error } = (await peer.next()) as { id: number; error: { code: string; message: string } };
  t.deepEqual([id, error.code], [1, 'DeadlineExceeded']);
  t.regex(error.message, /create.* 0\.02 s/);
  t.true(signal.aborted);
  peer.send({ v: 3, cancel: 1 });
  t.deepEqual(await ask(peer, request(2, 'ping')), { id: 2, ok: {} });
});

test('server: the end of one waiter does not end what another still waits for', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: { ...gate.handlers, get: endlessGet([]) } });
  const [one, other] = [await greeted(service), await greeted(service)];
  const key = randomUUID();
  one.send(within(20, request(1, 'create', createArgs('a'), key)));
  const signal = await gate.started;
  other.send(request(1, 'create', createArgs('a'), key));
  t.is(await passTime(other, 40), 'DeadlineExceeded');
  t.false(signal.aborted);
  other.send({ v: 3, cancel: 1 });
  t.like(await other.next(), { id: 1, error: { code: 'Cancelled' } });
  t.true(signal.aborted);
});

test('server: the last of several times ends the command', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers });
  const [one, other] = [await greeted(service), await greeted(service)];
  const key = randomUUID();
  one.send(within(20, request(1, 'create', createArgs('a'), key)));
  await gate.started;
  other.send(within(40, request(1, 'create', createArgs('a'), key)));
  t.like(await other.next(), { id: 1, error: { code: 'DeadlineExceeded' } });
  t.like(await one.next(), { id: 1, error: { code: 'DeadlineExceeded' } });
  t.is(gate.runs(), 1);
});

test('server: the time of a command ends with its reply', async (t) => {
  const signals: AbortSignal[] = [];
  await using service = await startService({ handlers: { get: endlessGet(signals) } });
  const peer = await greeted(service);
  t.like(await ask(peer, within(20, request(1, 'get', { name: 'quick' }))), {
    id: 1,
    ok: { volume: { name: 'quick' } },
  });
  t.is(await passTime(peer, 20), 'DeadlineExceeded');
  t.deepEqual(
    signals.map(({ aborted }) => aborted),
    [false, true],
  );
});

test('server: the time of a command goes on after its connection: when nobody came back for it, it is given up', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: { ...gate.handlers, get: endlessGet([]) } });
  const [lost, peer] = [await greeted(service), await greeted(service)];
  lost.send(within(shortMs, request(1, 'create', createArgs('a'))));
  const signal = await gate.started;
  lost.socket.destroy();
  await until(() => service.server.size.sessions === 1);
  t.false(signal.aborted);
  t.is(await passTime(peer, shortMs), 'DeadlineExceeded');
  t.true(signal.aborted);
  gate.finish();
});

test('server: a time that is none is refused, and the longest is taken', async (t) => {
  await using service = await startService();
  const peer = await greeted(service);
  for (const wrong of [0, -1, 1.5, 2 ** 31, '5', null]) {
    const answer = await ask(peer, { ...request(1, 'get', { name: 'a' }), withinMs: wrong });
    t.is(answer.error?.code, 'InvalidRequest', `${wrong}`);
  }
  t.like(await ask(peer, within(2 ** 31 - 1, request(2, 'get', { name: 'a' }))), { ok: { volume: { name: 'a' } } });
});

test('server: what a VM has at work is bounded over all its connections, lost ones too; repetitions join', async (t) => {
  const gate = gatedCreate();
  await using service = await startService({ handlers: gate.handlers, limits: { maxAtWork: 2 } });
  const key = randomUUID();
  for (const command of [request(1, 'create', createArgs('a'), key), request(1, 'create', createArgs('b'))]) {
    const lost = await greeted(service);
    lost.send(command);
    await ask(lost, request(2, 'ping'));
    lost.socket.destroy();
  }
  const peer = await greeted(service);
  t.like(await ask(peer, request(1, 'create', createArgs('c'))), { id: 1, error: { code: 'Busy' } });
  t.like(await ask(peer, request(2, 'get', { name: 'c' })), { id: 2, ok: { volume: { name: 'c' } } });
  peer.send(request(3, 'create', createArgs('a'), key));
  t.deepEqual(await ask(peer, request(4, 'ping')), { id: 4, ok: {} });
  t.is(gate.runs(), 2);
  gate.finish();
  t.like(await peer.next(), { id: 3, ok: { volume: { name: 'a' } } });
  t.like(await ask(peer, request(5, 'create', createArgs('c'))), { id: 5, ok: { volume: { name: 'c' } } });
  t.is(gate.runs(), 3);
});

test("server: one VM's flood takes no other VM's places", async (t) => {
  const gate = gatedCreate();
  const create: Handlers['create'] = (session, args, context) =>
    session.vm.id === 'vm-2'
      ? { volume: volume(args.name) }
      : (gate.handlers.create?.(session, args, context) ?? { volume: volume(args.name) });
  await using service = await startService({ handlers: { create }, limits: { maxInFlight: 3, maxAtWork: 4 } });
  await using door = await startService({ server: service.server, vm: { id: 'vm-2', name: 'beta' } });
  for (const peer of [await greeted(service), await greeted(service)]) {
    for (let id = 1; id <= 10; id += 1) peer.send(request(id, 'create', createArgs(`v${id}`)));
    t.like(await peer.next(), { error: { code: 'Busy' } });
  }
  const other = await greeted(door);
  t.like(await ask(other, request(1, 'create', createArgs('a'))), { id: 1, ok: { volume: { name: 'a' } } });
  t.is(gate.runs(), 4);
  gate.finish();
});
