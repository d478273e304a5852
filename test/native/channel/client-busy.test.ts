/** Calls that the service answers Busy: sent again with the same key, after pauses that grow, as long as anybody waits. */
import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import type { ClientSession } from '../../../native/channel/client.ts';
import type { Handlers } from '../../../native/channel/session.ts';
import { type RawPeer, type RawRequest, startRawService } from './support/raw-peer.ts';
import { createArgs, openClient, startService, volume } from './support/service.ts';
import { faultOfCall, turns, until } from './support/waiting.ts';

const never = new AbortController().signal;
const gaveUp = new Fault('DeadlineExceeded', 'too long');
const brief = { minMs: 1, maxMs: 2 };
/** Longer than any test. */
const long = { minMs: 600_000, maxMs: 600_000 };

async function answerBusy(peer: RawPeer, message = 'too much to do'): Promise<RawRequest> {
  const request = (await peer.next()) as RawRequest;
  peer.send({ id: request.id, error: { code: 'Busy', message } });
  return request;
}

test('busy: the call is sent again with the same key and another id, and counted as repeated', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { busyBackoff: brief });
  const created = client.call('create', createArgs('a'), never);
  const peer = await service.greet();
  const requests = [await answerBusy(peer), await answerBusy(peer), (await peer.next()) as RawRequest];
  t.is(new Set(requests.map(({ key }) => key)).size, 1);
  t.is(new Set(requests.map(({ id }) => id)).size, 3);
  peer.send({ id: requests[2]?.id, ok: { volume: volume('a') } });
  t.is((await created).volume.name, 'a');
  t.deepEqual(client.counters().create, { sent: 1, repeated: 2, answered: 3, failed: 0 });
});

test('busy: pauses grow with each Busy reply', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { busyBackoff: { minMs: 20, maxMs: 320 } });
  const got = client.call('get', { name: 'a' }, never);
  const peer = await service.greet();
  const start = performance.now();
  for (let count = 0; count < 6; count += 1) await answerBusy(peer);
  peer.send({ id: ((await peer.next()) as RawRequest).id, ok: { volume: volume('a') } });
  await got;
  const leastMs = (20 + 40 + 80 + 160 + 320 + 320) / 2;
  t.true(performance.now() - start > leastMs - 6, 'timers may be early by a millisecond each');
});

// Serial: it counts the timers of the whole process.
test.serial('busy: given up in its pause, the call ends as Busy, not as unsure, and leaves no timer', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { busyBackoff: long });
  const controller = new AbortController();
  const timers = (): number => process.getActiveResourcesInfo().filter((what) => what === 'Timeout').length;
  const given = faultOfCall(client.call('create', createArgs('a'), controller.signal));
  const peer = await service.greet();
  await answerBusy(peer, 'too many clones');
  await until(() => client.counters().create.answered === 1);
  const paused = timers();
  controller.abort(gaveUp);
  const fault = await given;
  t.like(fault, { code: 'Busy', message: 'too many clones' });
  t.is(timers(), paused - 1);
});

test('busy: given up when it was sent again, the call is unsure again', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { busyBackoff: brief });
  const controller = new AbortController();
  const given = faultOfCall(client.call('create', createArgs('a'), controller.signal));
  const peer = await service.greet();
  await answerBusy(peer);
  const { id } = (await peer.next()) as RawRequest;
  controller.abort(gaveUp);
  t.is(await given, gaveUp);
  t.deepEqual(await peer.next(), { v: 3, cancel: id });
});

test('busy: after a sending whose connection was lost, Busy says nothing of that one', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { busyBackoff: long });
  const controller = new AbortController();
  const given = faultOfCall(client.call('create', createArgs('a'), controller.signal));
  const first = await service.greet();
  await first.next();
  first.socket.destroy();
  await answerBusy(await service.greet(), 'too much');
  await until(() => client.counters().create.answered === 1);
  controller.abort(gaveUp);
  t.like(await given, { code: 'OutcomeUnknown', message: 'create: too much; it may have been done' });
});

test('busy: in its pause a call has no place, and a lost connection or close makes it no less sure', async (t) => {
  await using service = await startRawService();
  const client = openClient(service, { maxInFlight: 1, busyBackoff: long });
  const created = faultOfCall(client.call('create', createArgs('a'), never));
  const got = client.call('get', { name: 'b' }, never);
  const first = await service.greet();
  await answerBusy(first);
  t.is(((await first.next()) as RawRequest).cmd, 'get');
  first.socket.destroy();
  const second = await service.greet();
  const { id, cmd } = (await second.next()) as RawRequest;
  t.is(cmd, 'get');
  second.send({ id, ok: { volume: volume('b') } });
  await got;
  await client.close();
  t.is((await created).code, 'HostUnavailable');
});

test('busy: calls of a session are repeated on it, and end with it', async (t) => {
  await using service = await startRawService();
  const watches: Promise<unknown>[] = [];
  const onSession = (session: ClientSession): void => {
    watches.push(session.call('watch', {}, never));
  };
  await using client = openClient(service, { onSession, busyBackoff: { minMs: 1, maxMs: 600_000 } });
  const first = await service.greet();
  await answerBusy(first);
  const again = await answerBusy(first);
  t.is(again.cmd, 'watch');
  first.socket.destroy();
  t.is((await faultOfCall(watches[0] ?? Promise.resolve())).code, 'HostUnavailable');
  const second = await service.greet();
  const { id, key } = (await second.next()) as RawRequest;
  t.not(key, again.key);
  second.send({ id, ok: { sequence: 7 } });
  t.deepEqual(await watches[1], { sequence: 7 });
  t.is(client.counters().watch.sent, 2);
});

test('busy: in its pause, too, a call of a session ends with it', async (t) => {
  await using service = await startRawService();
  const watches: Promise<unknown>[] = [];
  const onSession = (session: ClientSession): void => {
    watches.push(session.call('watch', {}, never));
  };
  await using client = openClient(service, { onSession, busyBackoff: long });
  const peer = await service.greet();
  await answerBusy(peer);
  await until(() => client.counters().watch.answered === 1);
  const [watch] = watches;
  peer.socket.destroy();
  t.is((await faultOfCall(watch ?? Promise.resolve())).code, 'HostUnavailable');
});

test('busy: a service with fewer places than its client uses does each command once, and all of them', async (t) => {
  const effects = new Map<string, number>();
  let most = 0;
  let running = 0;
  const remove: Handlers['remove'] = async (_session, { name }) => {
    running += 1;
    most = Math.max(most, running);
    await turns(2);
    running -= 1;
    effects.set(name, (effects.get(name) ?? 0) + 1);
    return {};
  };
  await using service = await startService({ handlers: { remove }, limits: { maxInFlight: 4 } });
  await using client = openClient(service, { busyBackoff: { minMs: 1, maxMs: 20 } });
  const names = Array.from({ length: 200 }, (_, index) => `v${index}`);
  await Promise.all(names.map((name) => client.call('remove', { name }, never)));
  t.is(most, 4);
  t.is(effects.size, names.length);
  t.true(effects.values().every((times) => times === 1));
  t.true(client.counters().remove.repeated > 0);
});
