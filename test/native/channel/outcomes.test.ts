import test from 'ava';
import fc from 'fast-check';
import { Fault, type FaultCode, faultCodes } from '../../../common/fault.ts';
import { silentLogger } from '../../../common/logging.ts';
import { Executions, type Outcome } from '../../../native/channel/executions.ts';
import { Outcomes } from '../../../native/channel/outcomes.ts';

const limits = { maxEntries: 3, maxAgeMs: 1000 };

interface Store {
  readonly outcomes: Outcomes;
  /** Runs with a key; work that fails with the code when one is given. Returns what was told, in order. */
  readonly run: (key: string, options?: { vmId?: string; code?: FaultCode; gate?: Promise<unknown> }) => Outcome[];
  readonly runs: Map<string, number>;
  now: number;
}

function open(): Store {
  const runs = new Map<string, number>();
  const store: Store = {
    now: 0,
    runs,
    outcomes: new Outcomes(limits, new Executions(silentLogger), () => store.now),
    run: (key, { vmId = 'vm', code, gate } = {}) => {
      const told: Outcome[] = [];
      const work = (): unknown => {
        const count = (runs.get(`${vmId} ${key}`) ?? 0) + 1;
        runs.set(`${vmId} ${key}`, count);
        if (code) throw new Fault(code, 'failed');
        return gate ? gate.then(() => count) : count;
      };
      const waiter = { tell: (outcome: Outcome) => told.push(outcome), isWaiting: () => true };
      store.outcomes.run({ vmId, key, fingerprint: 'f', work }, waiter);
      return told;
    },
  };
  return store;
}

test('outcomes: the same key again gives the first outcome', (t) => {
  const store = open();
  t.deepEqual(store.run('a'), [{ ok: 1 }]);
  t.deepEqual(store.run('a'), [{ ok: 1 }]);
  t.deepEqual(store.run('b'), [{ ok: 1 }]);
});

test('outcomes: each VM has its own keys', (t) => {
  const store = open();
  store.run('a');
  store.run('a', { vmId: 'other' });
  t.deepEqual(
    [...store.runs],
    [
      ['vm a', 1],
      ['other a', 1],
    ],
  );
});

test('outcomes: who asks while the work runs joins it, and all are told in the same turn', async (t) => {
  const store = open();
  const gate = Promise.withResolvers<undefined>();
  const told = [store.run('a', { gate: gate.promise }), store.run('a'), store.run('a')];
  t.deepEqual(told, [[], [], []]);
  gate.resolve(undefined);
  await gate.promise.then(() => undefined).then(() => undefined);
  t.deepEqual(told, [[{ ok: 1 }], [{ ok: 1 }], [{ ok: 1 }]]);
});

for (const code of faultCodes) {
  const fault = new Fault(code, 'failed');
  const isForgotten = ['busy', 'unreachable'].includes(fault.class);
  test(`outcomes: ${code} (${fault.class}) ${isForgotten ? 'is forgotten' : 'stays'}`, (t) => {
    const store = open();
    store.run('a', { code });
    store.run('a', { code });
    t.is(store.runs.get('vm a'), isForgotten ? 2 : 1);
    t.is(store.outcomes.size, isForgotten ? 0 : 1);
  });
}

test('outcomes: the oldest finished go when there are too many, those at work never', async (t) => {
  const store = open();
  const gate = Promise.withResolvers<undefined>();
  for (const key of ['w1', 'w2', 'w3', 'w4', 'w5']) store.run(key, { gate: gate.promise });
  for (const key of ['a', 'b', 'c', 'd']) store.run(key);
  t.is(store.outcomes.size, 5 + limits.maxEntries);
  for (const key of ['w1', 'w5', 'b', 'c', 'd', 'a']) store.run(key);
  t.deepEqual(Object.fromEntries(store.runs), {
    'vm w1': 1,
    'vm w2': 1,
    'vm w3': 1,
    'vm w4': 1,
    'vm w5': 1,
    'vm a': 2,
    'vm b': 1,
    'vm c': 1,
    'vm d': 1,
  });
  gate.resolve(undefined);
  await gate.promise;
});

test('outcomes: they are forgotten with age, of all VMs, and then nothing is kept', (t) => {
  const store = open();
  store.run('a', { vmId: 'one' });
  store.now = 600;
  store.run('a', { vmId: 'two' });
  store.now = 1000;
  store.run('b', { vmId: 'three', code: 'Busy' });
  t.is(store.outcomes.size, 1);
  store.run('a', { vmId: 'two' });
  t.is(store.runs.get('two a'), 1);
  store.now = 1600;
  store.run('b', { vmId: 'three', code: 'Busy' });
  t.is(store.outcomes.size, 0);
});

test('outcomes: whatever is asked when, a key runs again only after it was forgotten', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(500))), (steps) => {
      const store = open();
      const expected = new Map<string, { count: number; at: number }>();
      for (const [key, wait] of steps) {
        store.now += wait;
        const known = expected.get(key);
        const isKnown = known !== undefined && store.now - known.at < limits.maxAgeMs;
        const now = isKnown ? known : { count: (known?.count ?? 0) + 1, at: store.now };
        expected.set(key, now);
        t.deepEqual(store.run(key), [{ ok: now.count }]);
      }
    }),
  );
});
