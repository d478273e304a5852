/** Which connection of a VM counts, on the rules alone and on a service whose guests the test plays byte by byte. */
import test from 'ava';
import { faultOf } from '../../../common/fault.ts';
import { type Greeted, LatestHello, type Said } from '../../../native/channel/latest-hello.ts';
import { dialRaw, type RawPeer } from './support/raw-peer.ts';
import { ask, gatedCreate, request } from './support/requests.ts';
import { createArgs, hello, helloReply, openClient, startService, type TestService } from './support/service.ts';
import { until } from './support/waiting.ts';

const never = new AbortController().signal;

function connection(): Greeted {
  const closing = new AbortController();
  return { closed: closing.signal, endWith: (reason) => closing.abort(reason) };
}

const at = (saidAtUs: number, bootId = 'boot'): Said => ({ bootId, saidAtUs });

test('latest hello: a later one ends all that were said before it, of that VM', (t) => {
  const latest = new LatestHello();
  const [first, twin, second, other] = [connection(), connection(), connection(), connection()];
  t.is(latest.take('vm', at(1), first), 0);
  t.is(latest.take('other', at(1), other), 0);
  t.is(latest.take('vm', at(1), twin), 0, 'the same hello come twice');
  t.deepEqual([first.closed.aborted, twin.closed.aborted], [false, false]);
  t.is(latest.take('vm', at(2), second), 2);
  t.deepEqual(
    [first, twin, second, other].map(({ closed }) => closed.aborted),
    [true, true, false, false],
  );
});

test('latest hello: an earlier one is refused while a later connection lives, and taken after it', (t) => {
  const latest = new LatestHello();
  const [late, held] = [connection(), connection()];
  latest.take('vm', at(2), late);
  const refused = t.throws(() => latest.take('vm', at(1), held));
  t.is(faultOf(refused).code, 'HostUnavailable');
  t.false(late.closed.aborted);
  // As after a VM went back to a snapshot: its clock did too.
  late.endWith(faultOf('closed'));
  t.is(latest.size, 0);
  t.is(latest.take('vm', at(1), held), 0);
});

test('latest hello: of another boot, the one that comes later counts', (t) => {
  const latest = new LatestHello();
  const [before, after] = [connection(), connection()];
  latest.take('vm', at(1_000_000, 'before'), before);
  t.is(latest.take('vm', at(1, 'after'), after), 1);
  t.true(before.closed.aborted);
});

async function greetedAt(service: TestService, saidAtUs: number): Promise<RawPeer> {
  const peer = await dialRaw(service.path);
  const { error } = await ask(peer, request(0, 'hello', { ...hello, saidAtUs }));
  if (error) throw new Error(`hello was refused: ${error.message}`);
  return peer;
}

test('server: a command held back on its way is not begun once its guest said hello again', async (t) => {
  const removed: string[] = [];
  await using service = await startService({
    handlers: {
      remove: (_session, { name }) => {
        removed.push(name);
        return {};
      },
    },
  });
  const killed = await greetedAt(service, 1);
  const next = await greetedAt(service, 2);
  killed.send(request(1, 'remove', { name: 'db' }));
  t.like(await killed.next(), { over: { code: 'TakenOver' } });
  await killed.ended();
  t.deepEqual(await ask(next, request(1, 'remove', { name: 'new' })), { id: 1, ok: {} });
  t.deepEqual(removed, ['new']);
});

test('server: what is unread when its guest says hello again is dropped, also behind what was read', async (t) => {
  const names: string[] = [];
  let sayAgain = (): Promise<unknown> => Promise.resolve();
  await using service = await startService({
    handlers: {
      remove: (_session, { name }) => {
        names.push(name);
        return name === 'first' ? sayAgain().then(() => ({})) : {};
      },
    },
  });
  const killed = await greetedAt(service, 1);
  const again = Promise.withResolvers<RawPeer>();
  sayAgain = async () => again.resolve(await greetedAt(service, 2));
  killed.send(request(1, 'remove', { name: 'first' }));
  const next = await again.promise;
  killed.send(request(2, 'remove', { name: 'second' }));
  await killed.ended();
  t.deepEqual(await ask(next, request(1, 'ping')), { id: 1, ok: {} });
  t.deepEqual(names, ['first'], 'what had begun went on');
});

test('server: what had begun goes on, and its key on the later connection joins it', async (t) => {
  const create = gatedCreate();
  await using service = await startService({ handlers: create.handlers });
  const key = '6c1d5f2e-8a4b-4c3d-9e2f-0a1b2c3d4e5f';
  const first = await greetedAt(service, 1);
  first.send(request(1, 'create', createArgs('db'), key));
  const signal = await create.started;
  const second = await greetedAt(service, 2);
  await first.ended();
  t.false(signal.aborted);
  second.send(request(9, 'create', createArgs('db'), key));
  create.finish();
  t.like(await second.next(), { id: 9, ok: { volume: { name: 'db' } } });
  t.is(create.runs(), 1);
});

test('server: a hello that comes late is refused, and the connection that counts stays', async (t) => {
  await using service = await startService();
  const second = await greetedAt(service, 2);
  const late = await dialRaw(service.path);
  t.like(await ask(late, request(0, 'hello', { ...hello, saidAtUs: 1 })), {
    id: 0,
    error: { code: 'HostUnavailable' },
  });
  await late.ended();
  t.deepEqual(await ask(second, request(1, 'ping')), { id: 1, ok: {} });
});

test('client: each hello says when, by a clock that all processes of the machine share', async (t) => {
  const said: number[] = [];
  const twice = Promise.withResolvers<undefined>();
  await using service = await startService({
    handlers: {
      hello: (session, args) => {
        said.push(args.saidAtUs);
        if (said.length === 2) twice.resolve(undefined);
        throw new Error(`not now: ${session.vm.name}`);
      },
    },
  });
  const before = Number(process.hrtime.bigint() / 1000n);
  {
    await using _client = openClient(service);
    await twice.promise;
  }
  const after = Number(process.hrtime.bigint() / 1000n);
  const [first = 0, second = 0] = said;
  t.true(before <= first && first < second && second <= after, `said at ${said.join()}`);
});

test('client: of two plugins in one VM each is told, and they take turns at the slowest pace', async (t) => {
  const said: number[] = [];
  const fourth = Promise.withResolvers<undefined>();
  await using service = await startService({
    handlers: {
      hello: () => {
        said.push(performance.now());
        if (said.length === 4) fourth.resolve(undefined);
        return helloReply('i');
      },
    },
  });
  const maxMs = 300;
  const backoff = { minMs: 1, maxMs };
  await using first = openClient(service, { backoff });
  await first.call('ping', {}, never);
  await using second = openClient(service, { backoff });
  await second.call('ping', {}, never);
  await until(() => !first.isConnected);
  t.regex(first.lastError?.message ?? '', /if two plugins run in it, stop one/);
  const calls = await Promise.all([first, second].map((client) => client.call('get', { name: 'db' }, never)));
  t.deepEqual(
    calls.map(({ volume }) => volume.name),
    ['db', 'db'],
  );
  await fourth.promise;
  const [, toSecond = 0, backToFirst = 0, backToSecond = 0] = said;
  // Half of the longest pause, less what a timer may come early.
  const shortest = maxMs / 2 - 5;
  t.true(backToFirst - toSecond > shortest && backToSecond - backToFirst > shortest, `said at ${said.join()}`);
});
