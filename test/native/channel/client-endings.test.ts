/** How calls end that are not answered: by their signals, by lost connections, by close. */
import test from 'ava';
import { deadline } from '../../../common/deadline.ts';
import { Fault } from '../../../common/fault.ts';
import { dialer } from '../../../native/channel/transports.ts';
import { type RawRequest, startRawService } from './support/raw-peer.ts';
import { createArgs, openClient, startService, temporaryFolder, volume } from './support/service.ts';
import { faultOfCall, until } from './support/waiting.ts';

const never = new AbortController().signal;

test('client: without a service a call ends at its deadline, naming the address and the last reason', async (t) => {
  using folder = temporaryFolder();
  const path = `${folder.path}/none`;
  await using client = openClient({ address: `unix://${path}`, dial: dialer({ kind: 'unix', path }) });
  using limit = deadline(30, 'creating db');
  const fault = await faultOfCall(client.call('create', createArgs('db'), limit.signal));
  t.is(fault.code, 'HostUnavailable');
  t.true(fault.message.includes(`unix://${path}`));
  t.true(fault.message.includes('ENOENT'));
  t.false(client.isConnected);
  t.is(client.lastError?.code, 'HostUnavailable');
});

test('client: a call that waits for its turn ends with its signal, and is never sent', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service, { maxInFlight: 1 });
  const first = client.call('get', { name: 'a' }, never);
  const peer = await service.greet();
  const { id } = (await peer.next()) as RawRequest;
  const controller = new AbortController();
  const reason = new Fault('Cancelled', 'the caller hung up');
  const second = faultOfCall(client.call('create', createArgs('b'), controller.signal));
  const third = client.call('get', { name: 'c' }, never);
  controller.abort(reason);
  t.is(await second, reason);
  peer.send({ id, ok: { volume: volume('a') } });
  await first;
  const next = (await peer.next()) as RawRequest;
  t.deepEqual(next.args, { name: 'c' });
  peer.send({ id: next.id, ok: { volume: volume('c') } });
  t.is((await third).volume.name, 'c');
});

test('client: a call that was sent ends unsure with its signal, tells the service, and its late reply goes nowhere', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const controller = new AbortController();
  const reason = new Fault('DeadlineExceeded', 'creating took too long');
  const given = faultOfCall(client.call('create', createArgs('a'), controller.signal));
  const peer = await service.greet();
  const create = (await peer.next()) as RawRequest;
  controller.abort(reason);
  t.is(await given, reason);
  t.deepEqual(await peer.next(), { v: 3, cancel: create.id });
  const get = client.call('get', { name: 'b' }, never);
  const { id } = (await peer.next()) as RawRequest;
  peer.send({ id: create.id, ok: { volume: volume('a') } });
  peer.send({ id, ok: { volume: volume('b') } });
  t.is((await get).volume.name, 'b');
});

test('client: a changing command that was sent never ends as a plain no', async (t) => {
  await using service = await startRawService();
  const client = openClient(service);
  const cancelled = new AbortController();
  const given = faultOfCall(client.call('attach', { name: 'a' }, cancelled.signal));
  const closed = faultOfCall(client.call('attach', { name: 'b' }, never));
  const read = faultOfCall(client.call('get', { name: 'c' }, never));
  const peer = await service.greet();
  for (let count = 0; count < 3; count += 1) await peer.next();
  cancelled.abort(new Fault('Cancelled', 'the caller hung up'));
  await client.close();
  t.is((await given).class, 'unsure');
  t.is((await closed).class, 'unsure');
  t.is((await read).class, 'unreachable');
});

test('client: a command sent on a connection that was lost ends unsure at its deadline, naming the address', async (t) => {
  const service = await startRawService();
  await using client = openClient(service);
  const controller = new AbortController();
  const given = faultOfCall(client.call('create', createArgs('a'), controller.signal));
  const peer = await service.greet();
  await peer.next();
  const lost = peer.ended();
  await service[Symbol.asyncDispose]();
  await lost;
  await until(() => !client.isConnected);
  controller.abort(new Fault('Cancelled', 'the caller hung up'));
  const fault = await given;
  t.is(fault.class, 'unsure');
  t.true(fault.message.includes(service.address));
});

test('client: a command too large for a frame fails alone', async (t) => {
  await using service = await startService();
  await using client = openClient(service);
  const long = { ...createArgs('a'), name: 'x'.repeat(1024 * 1024) };
  t.is((await faultOfCall(client.call('create', long, never))).code, 'InvalidRequest');
  await client.call('ping', {}, never);
  t.is(client.counters().hello.sent, 1);
});

test('client: a call whose signal is aborted already is not made', async (t) => {
  await using service = await startService();
  await using client = openClient(service);
  await client.call('ping', {}, never);
  const reason = new Fault('Cancelled', 'before');
  const refused = await faultOfCall(client.call('ping', {}, AbortSignal.abort(reason)));
  t.is(refused, reason);
  t.is((await faultOfCall(client.call('ping', {}, AbortSignal.abort()))).code, 'Cancelled');
  t.is(client.counters().ping.sent, 1);
});

test('client: close ends the connection and every call, also later ones, and may be repeated', async (t) => {
  await using service = await startRawService();
  const client = openClient(service);
  const call = faultOfCall(client.call('list', { limit: 1 }, never));
  const peer = await service.greet();
  await peer.next();
  await Promise.all([client.close(), client.close()]);
  t.is((await call).code, 'HostUnavailable');
  t.is((await faultOfCall(client.call('ping', {}, never))).code, 'HostUnavailable');
  await peer.ended();
  t.false(client.isConnected);
});

test('client: close while it connects, or waits to, ends at once', async (t) => {
  using folder = temporaryFolder();
  const path = `${folder.path}/none`;
  const waiting = openClient(
    { address: `unix://${path}`, dial: dialer({ kind: 'unix', path }) },
    { backoff: { minMs: 60_000, maxMs: 60_000 } },
  );
  await until(() => waiting.lastError !== undefined);
  await waiting.close();
  const connecting = openClient({ address: 'test://', dial: (signal) => rejectedBy(signal) });
  await connecting.close();
  t.false(waiting.isConnected || connecting.isConnected);
});

async function rejectedBy(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(signal.reason as Error));
  return await promise;
}
