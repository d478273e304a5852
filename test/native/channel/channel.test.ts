/** Client and service together, over real Unix sockets, through a relay that cuts where it hurts. */
import test from 'ava';
import fc from 'fast-check';
import { Fault } from '../../../common/fault.ts';
import { abortable, deadline } from '../../../common/deadline.ts';
import type { ChannelClient } from '../../../native/channel/client.ts';
import type { Handlers } from '../../../native/channel/session.ts';
import { startProxy } from './support/proxy.ts';
import { createArgs, openClient, startService, type TestService, volume } from './support/service.ts';
import { turns } from './support/waiting.ts';

const never = new AbortController().signal;

/** Creates that count how often each key took effect, and take some turns of the event loop. */
function countingCreate(slowness: (name: string) => number): {
  readonly handlers: Partial<Handlers>;
  readonly effects: Map<string, number>;
} {
  const effects = new Map<string, number>();
  return {
    effects,
    handlers: {
      create: async (_session, { name }, { key }) => {
        await turns(slowness(name));
        effects.set(key, (effects.get(key) ?? 0) + 1);
        if (name.startsWith('taken')) throw new Fault('VolumeExists', `${name} exists`);
        return { volume: volume(name) };
      },
    },
  };
}

/** What hello, one create and their replies take on the wire. */
async function conversationBytes(service: TestService, direction: 'up' | 'down'): Promise<number> {
  await using proxy = await startProxy(service.path);
  await using client = openClient(proxy);
  await client.call('create', createArgs('whole'), never);
  return proxy.seen[direction];
}

test('channel: replies find their callers, in whatever order the service answers', async (t) => {
  const { handlers } = countingCreate((name) => Number(name.slice(1)));
  await using service = await startService({ handlers });
  await using client = openClient(service);
  const order: string[] = [];
  const names = Array.from({ length: 40 }, (_, index) => `v${(index * 17) % 40}`);
  await Promise.all(
    names.map(async (name) => {
      const { volume: created } = await client.call('create', createArgs(name), never);
      t.is(created.name, name);
      order.push(name);
    }),
  );
  t.notDeepEqual(order, names);
});

test('channel: each command takes effect once and gets its own outcome, however connections are cut', async (t) => {
  const cuts = fc.array(fc.record({ up: fc.nat(1500), down: fc.nat(1500) }), { maxLength: 6 });
  const commands = fc.array(fc.record({ slowness: fc.nat(6), isTaken: fc.boolean() }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(cuts, commands, fc.constantFrom(1, 2, 64), async (plan, callers, maxInFlight) => {
      const { handlers, effects } = countingCreate((name) => callers[Number(name.slice(5))]?.slowness ?? 0);
      await using service = await startService({ handlers });
      const left = [...plan];
      await using proxy = await startProxy(service.path, () => left.shift() ?? {});
      await using client = openClient(proxy, { maxInFlight, backoff: { minMs: 1, maxMs: 2 } });
      using limit = deadline(20_000, 'this test');
      const outcomes = await Promise.all(
        callers.map(async ({ isTaken }, index) => {
          const name = `${isTaken ? 'taken' : 'fresh'}${index}`;
          try {
            return (await client.call('create', createArgs(name), limit.signal)).volume.name;
          } catch (error) {
            return error instanceof Fault ? `${error.code} ${error.message}` : error;
          }
        }),
      );
      t.deepEqual(
        outcomes,
        callers.map(({ isTaken }, index) => (isTaken ? `VolumeExists taken${index} exists` : `fresh${index}`)),
      );
      t.is(effects.size, callers.length);
      t.true(effects.values().every((times) => times === 1));
      t.is(service.server.size.outcomes, callers.length);
    }),
    { numRuns: 60 },
  );
});

for (const direction of ['up', 'down'] as const) {
  test(`channel: a command survives a cut after any byte ${direction}`, async (t) => {
    const { handlers, effects } = countingCreate(() => 0);
    await using service = await startService({ handlers });
    const length = await conversationBytes(service, direction);
    t.true(length > 200);
    effects.clear();
    for (let after = 0; after <= length; after += 1) {
      const cuts = [{ [direction]: after }];
      await using proxy = await startProxy(service.path, () => cuts.shift() ?? {});
      await using client = openClient(proxy, { backoff: { minMs: 1, maxMs: 2 } });
      using limit = deadline(10_000, 'this test');
      const { volume: created } = await client.call('create', createArgs(`after${after}`), limit.signal);
      t.is(created.name, `after${after}`);
    }
    t.is(effects.size, length + 1);
    t.true(effects.values().every((times) => times === 1));
  });
}

test('channel: with one in flight, commands go out one by one in the order of the calls', async (t) => {
  const order: string[] = [];
  let running = 0;
  let most = 0;
  const create: Handlers['create'] = async (_session, { name }) => {
    running += 1;
    most = Math.max(most, running);
    order.push(name);
    await turns(order.length % 3);
    running -= 1;
    return { volume: volume(name) };
  };
  await using service = await startService({ handlers: { create } });
  await using client = openClient(service, { maxInFlight: 1 });
  const names = Array.from({ length: 30 }, (_, index) => `v${index}`);
  await Promise.all(names.map((name) => client.call('create', createArgs(name), never)));
  t.deepEqual(order, names);
  t.is(most, 1);
});

test('channel: with eight in flight there are never nine, and all eight places are used', async (t) => {
  let running = 0;
  let most = 0;
  const get: Handlers['get'] = async (_session, { name }) => {
    running += 1;
    most = Math.max(most, running);
    await turns(3);
    running -= 1;
    return { volume: volume(name) };
  };
  await using service = await startService({ handlers: { get } });
  await using client = openClient(service, { maxInFlight: 8 });
  await Promise.all(Array.from({ length: 50 }, (_, index) => client.call('get', { name: `v${index}` }, never)));
  t.is(most, 8);
});

test('channel: a command at work when its connection was cut is joined, not started again', async (t) => {
  const started = Promise.withResolvers<undefined>();
  const finish = Promise.withResolvers<undefined>();
  const keys: string[] = [];
  const create: Handlers['create'] = async (_session, { name }, { key, signal }) => {
    keys.push(key);
    started.resolve(undefined);
    await finish.promise;
    t.false(signal.aborted, 'a lost connection cancels nothing');
    return { volume: volume(name) };
  };
  await using service = await startService({ handlers: { create } });
  await using proxy = await startProxy(service.path);
  const sessions: string[] = [];
  const second = Promise.withResolvers<undefined>();
  await using client = openClient(proxy, {
    onSession: ({ hello }) => {
      if (sessions.push(hello.instanceId) === 2) second.resolve(undefined);
    },
  });
  const created = client.call('create', createArgs('db'), never);
  await started.promise;
  proxy.cutNow();
  await second.promise;
  await client.call('ping', {}, never);
  finish.resolve(undefined);
  t.is((await created).volume.name, 'db');
  t.is(keys.length, 1);
  const { sent, repeated, answered, failed } = client.counters().create;
  t.deepEqual({ sent, repeated, answered, failed }, { sent: 1, repeated: 1, answered: 1, failed: 0 });
});

test('channel: a service that comes back as another instance gets the unanswered command', async (t) => {
  const hang = Promise.withResolvers<never>();
  const started = Promise.withResolvers<undefined>();
  await using first = await startService({
    handlers: {
      create: () => {
        started.resolve(undefined);
        return hang.promise;
      },
    },
    limits: { closeGraceMs: 1 },
  });
  const instances: string[] = [];
  await using client = openClient(first, { onSession: ({ hello }) => instances.push(hello.instanceId) });
  const created = client.call('create', createArgs('db'), never);
  await started.promise;
  await first.listener.close();
  await first.server.close();
  await using second = await startService({ path: first.path });
  t.is((await created).volume.name, 'db');
  t.is(new Set(instances).size, 2);
  t.is(second.server.size.outcomes, 1);
});

test('channel: events and replies keep their order, to the last step of whoever awaits a reply', async (t) => {
  let sequence = 0;
  const publish: (() => void)[] = [];
  await using service = await startService({
    handlers: {
      watch: (session) => {
        publish.push(() => session.send({ kind: 'removed', sequence: (sequence += 1), name: 'v', datastore: 'd' }));
        return { sequence };
      },
      list: () => {
        const page = { volumes: [], next: String(sequence) };
        queueMicrotask(() => publish.forEach((tell) => tell()));
        return page;
      },
    },
  });
  const seen: string[] = [];
  await using client = openClient(service, { onEvent: (event) => seen.push(`event ${event.sequence}`) });
  await client.call('watch', {}, never);
  const read = async (): Promise<void> => {
    const throughLayers = async (): Promise<string | undefined> => {
      const page = await client.call('list', { limit: 1 }, never);
      return await Promise.resolve(page.next);
    };
    seen.push(`page ${await throughLayers()}`);
  };
  for (let round = 0; round < 50; round += 1) await Promise.all([read(), read()]);
  await client.call('ping', {}, never);
  let last = 0;
  for (const [what, number] of seen.map((entry) => entry.split(' '))) {
    if (what === 'event') last += 1;
    t.is(Number(number), last, `each page reflects exactly the events before it: ${seen.join(', ')}`);
  }
  t.is(seen.length, 200);
});

test('channel: a hundred VMs at once all get their answers', async (t) => {
  await using service = await startService();
  const { server } = service;
  await using doors = new AsyncDisposableStack();
  const clients: ChannelClient[] = [];
  for (let number = 0; number < 100; number += 1) {
    const door = doors.use(await startService({ server, vm: { id: `vm-${number}`, name: `vm-${number}` } }));
    clients.push(openClient(door));
  }
  using limit = deadline(20_000, 'this test');
  await abortable(
    Promise.all(
      clients.map(async (client, index) => {
        const { volume: found } = await client.call('get', { name: `v${index}` }, never);
        t.is(found.name, `v${index}`);
      }),
    ),
    limit.signal,
  );
  await Promise.all(clients.map((client) => client.close()));
});
