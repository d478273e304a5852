/** Who goes out when: places of calls that were given up, of long-running ones, and how many may wait. */
import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { deadline } from '../../../common/deadline.ts';
import type { ClientSession } from '../../../native/channel/client.ts';
import type { Handlers } from '../../../native/channel/session.ts';
import { dialer } from '../../../native/channel/transports.ts';
import { type RawRequest, startRawService } from './support/raw-peer.ts';
import { createArgs, openClient, startService, temporaryFolder, volume } from './support/service.ts';
import { faultOfCall, until } from './support/waiting.ts';

const never = new AbortController().signal;
const gaveUp = new Fault('DeadlineExceeded', 'too long');
const detachArgs = { name: 'v', isFormatted: false, isClonePrepared: false };
/** Answers nothing, and does not mind that nobody waits. */
const hangs = (): Promise<never> => Promise.withResolvers<never>().promise;

test('client: a call that was given up gives its place to the next at once, and its late reply frees no other', async (t) => {
  await using service = await startRawService();
  let events = 0;
  await using client = openClient(service, { maxInFlight: 2, onEvent: () => (events += 1) });
  const controller = new AbortController();
  const given = faultOfCall(client.call('attach', { name: 'a' }, controller.signal));
  const gets = ['b', 'c', 'd'].map((name) => client.call('get', { name }, never));
  const peer = await service.greet();
  const attach = (await peer.next()) as RawRequest;
  const first = (await peer.next()) as RawRequest;
  controller.abort(gaveUp);
  t.is(await given, gaveUp);
  t.deepEqual(await peer.next(), { v: 3, cancel: attach.id });
  const second = (await peer.next()) as RawRequest;
  t.deepEqual(second.args, { name: 'c' });
  peer.send({ id: attach.id, error: { code: 'DeadlineExceeded', message: 'undone' } });
  peer.send({ event: { kind: 'removed', sequence: 1, name: 'v', datastore: 'd' } });
  await until(() => events === 1);
  t.is(client.counters().get.sent, 2, 'both places are taken');
  for (const { id } of [first, second]) peer.send({ id, ok: { volume: volume('x') } });
  peer.send({ id: ((await peer.next()) as RawRequest).id, ok: { volume: volume('x') } });
  await Promise.all(gets);
});

test('client: in lock-step a call that was given up keeps its place until its reply', async (t) => {
  await using service = await startRawService();
  let events = 0;
  await using client = openClient(service, {
    maxInFlight: 1,
    onEvent: () => (events += 1),
    busyBackoff: { minMs: 1, maxMs: 1 },
  });
  const controller = new AbortController();
  const given = faultOfCall(client.call('create', createArgs('a'), controller.signal));
  const peer = await service.greet();
  const create = (await peer.next()) as RawRequest;
  controller.abort(gaveUp);
  await given;
  const get = client.call('get', { name: 'b' }, never);
  t.deepEqual(await peer.next(), { v: 3, cancel: create.id });
  peer.send({ event: { kind: 'removed', sequence: 1, name: 'v', datastore: 'd' } });
  await until(() => events === 1);
  t.is(client.counters().get.sent, 0);
  peer.send({ id: create.id, error: { code: 'Busy', message: 'undone' } });
  const next = (await peer.next()) as RawRequest;
  t.is(next.cmd, 'get');
  peer.send({ id: next.id, ok: { volume: volume('b') } });
  await get;
  const start = performance.now();
  await until(() => performance.now() > start + 5);
  t.is(client.counters().create.repeated, 0, 'nobody waits for it');
});

test('client: in lock-step a lost connection frees the place of a call that was given up', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { maxInFlight: 1 });
  const controller = new AbortController();
  const given = faultOfCall(client.call('create', createArgs('a'), controller.signal));
  const peer = await service.greet();
  await peer.next();
  controller.abort(gaveUp);
  await given;
  const get = client.call('get', { name: 'b' }, never);
  peer.socket.destroy();
  const next = await service.greet();
  const { id, cmd } = (await next.next()) as RawRequest;
  t.is(cmd, 'get');
  next.send({ id, ok: { volume: volume('b') } });
  await get;
});

test('client: with a hypervisor that hangs, commands for other volumes go out all the same', async (t) => {
  const attach: Handlers['attach'] = hangs;
  await using service = await startService({ handlers: { attach } });
  await using client = openClient(service, { maxInFlight: 4 });
  for (let round = 0; round < 5; round += 1) {
    const controller = new AbortController();
    const calls = Array.from({ length: 4 }, () => faultOfCall(client.call('attach', { name: 'v' }, controller.signal)));
    await until(() => client.counters().attach.sent === 4 * (round + 1));
    controller.abort(gaveUp);
    t.deepEqual(new Set(await Promise.all(calls)), new Set([gaveUp]));
  }
  t.deepEqual(await client.call('detach', detachArgs, never), {});
});

test('client: a wall of creates holds up nothing else', async (t) => {
  let creates = 0;
  const create: Handlers['create'] = () => {
    creates += 1;
    return hangs();
  };
  await using service = await startService({ handlers: { create } });
  await using client = openClient(service, { maxInFlight: 4 });
  using end = new Ending();
  const wall = Array.from({ length: 40 }, (_, index) =>
    faultOfCall(client.call('create', createArgs(`v${index}`), end.signal)),
  );
  await Promise.all([
    client.call('attach', { name: 'a' }, never),
    client.call('detach', detachArgs, never),
    client.call('remove', { name: 'a' }, never),
    ...Array.from({ length: 20 }, () => client.call('get', { name: 'a' }, never)),
  ]);
  t.is(creates, 2);
  end[Symbol.dispose]();
  await Promise.all(wall);
});

test('client: too many waiting calls are refused at once as Busy, saying how many wait; of each kind apart', async (t) => {
  using folder = temporaryFolder();
  const path = `${folder.path}/none`;
  const address = `unix://${path}`;
  await using client = openClient({ address, dial: dialer({ kind: 'unix', path }) }, { maxWaiting: 2 });
  using end = new Ending();
  const controller = new AbortController();
  const waiting = [
    faultOfCall(client.call('get', { name: 'a' }, controller.signal)),
    faultOfCall(client.call('attach', { name: 'b' }, end.signal)),
  ];
  const refused = await faultOfCall(client.call('get', { name: 'c' }, never));
  t.is(refused.code, 'Busy');
  t.regex(refused.message, /2 commands wait/);
  t.true(refused.message.includes(address));
  waiting.push(...['d', 'e'].map((name) => faultOfCall(client.call('create', createArgs(name), end.signal))));
  t.is((await faultOfCall(client.call('create', createArgs('f'), never))).code, 'Busy');
  controller.abort(gaveUp);
  waiting.push(faultOfCall(client.call('get', { name: 'g' }, end.signal)));
  t.is((await faultOfCall(client.call('get', { name: 'h' }, never))).code, 'Busy');
  t.deepEqual(
    [client.counters().get, client.counters().create].map(({ failed }) => failed),
    [3, 1],
  );
  end[Symbol.dispose]();
  t.deepEqual(new Set((await Promise.all(waiting)).map(({ code }) => code)), new Set(['HostUnavailable']));
});

test('client: what sets a session up is never refused for those that wait', async (t) => {
  await using service = await startRawService();
  const replies: Promise<unknown>[] = [];
  const onSession = (session: ClientSession): void => {
    replies.push(session.call('watch', {}, never));
  };
  await using client = openClient(service, { maxWaiting: 1, onSession });
  using end = new Ending();
  const waiting = client.call('get', { name: 'a' }, end.signal).catch(() => undefined);
  const peer = await service.greet();
  const watch = (await peer.next()) as RawRequest;
  t.is(watch.cmd, 'watch');
  peer.send({ id: watch.id, ok: { sequence: 1 } });
  t.deepEqual(await replies[0], { sequence: 1 });
  end[Symbol.dispose]();
  await waiting;
});

test('client: each command says how long its caller still waits, as of sending', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  using wide = deadline(60_000, 'this');
  using narrow = deadline(120_000, 'that', wide.signal);
  const calls = [client.call('create', createArgs('a'), narrow.signal), client.call('get', { name: 'b' }, never)];
  const first = await service.greet();
  const create = (await first.next()) as RawRequest;
  const get = (await first.next()) as RawRequest;
  const sentMs = create.withinMs ?? NaN;
  t.true(Number.isInteger(sentMs) && sentMs > 0 && sentMs <= 60_000);
  t.false('withinMs' in get);
  const start = performance.now();
  await until(() => performance.now() > start + 2);
  first.socket.destroy();
  const second = await service.greet();
  const repeated = (await second.next()) as RawRequest;
  t.is(repeated.key, create.key);
  t.true((repeated.withinMs ?? NaN) < sentMs);
  second.send({ id: repeated.id, ok: { volume: volume('a') } });
  second.send({ id: ((await second.next()) as RawRequest).id, ok: { volume: volume('b') } });
  await Promise.all(calls);
});

/** Ends the calls of a test, whatever became of it. */
class Ending implements Disposable {
  readonly #controller = new AbortController();
  readonly signal = this.#controller.signal;

  [Symbol.dispose](): void {
    this.#controller.abort(new Fault('Cancelled', 'the test is over'));
  }
}
