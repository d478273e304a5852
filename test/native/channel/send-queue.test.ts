import test from 'ava';
import fc from 'fast-check';
import { type Lane, type Queued, SendQueue } from '../../../native/channel/send-queue.ts';

interface Call extends Queued {
  readonly name: string;
}

const lanes = ['session', 'long', 'short'] as const satisfies Lane[];
let arrivals = 0;
const call = (lane: Lane, name = ''): Call => ({ lane, name, arrival: (arrivals += 1) });

function queueOf(maxInFlight: number, calls: readonly Call[] = [], maxWaiting = 100): SendQueue<Call> {
  const queue = new SendQueue<Call>({ maxInFlight, maxWaiting });
  for (const each of calls) queue.add(each);
  return queue;
}

/** All that go out now. */
function takeAll(queue: SendQueue<Call>): Call[] {
  const taken: Call[] = [];
  for (let next = queue.take(); next; next = queue.take()) taken.push(next);
  return taken;
}

const byArrival = (calls: readonly Call[]): Call[] => calls.toSorted((one, other) => one.arrival - other.arrival);

test('queue: calls go out in order of arrival, as many as there are places', (t) => {
  const calls = [call('short'), call('long'), call('short'), call('short')];
  const queue = queueOf(3, calls);
  t.deepEqual(takeAll(queue), calls.slice(0, 3));
  t.is(queue.inFlight, 3);
});

for (const [places, most] of [
  [1, 1],
  [2, 1],
  [3, 1],
  [4, 2],
  [64, 32],
] as const) {
  test(`queue: of ${places} places long calls take at most ${most}, the others any`, (t) => {
    const many = (lane: Lane): Call[] => Array.from({ length: 100 }, () => call(lane));
    t.is(takeAll(queueOf(places, many('long'))).length, most);
    t.is(takeAll(queueOf(places, many('short'))).length, places);
    const mixed = takeAll(queueOf(places, [...many('long'), ...many('short')]));
    t.is(mixed.length, places);
    t.is(mixed.filter(({ lane }) => lane === 'long').length, most);
  });
}

test('queue: a place that is given back goes to the oldest call that may have it', (t) => {
  const [long, nextLong] = [call('long'), call('long')];
  const [short, nextShort, lastShort] = [call('short'), call('short'), call('short')];
  const queue = queueOf(2, [long, nextLong, short, nextShort, lastShort]);
  t.deepEqual(takeAll(queue), [long, short]);
  queue.delete(short);
  t.deepEqual(takeAll(queue), [nextShort]);
  queue.delete(long);
  t.deepEqual(takeAll(queue), [nextLong]);
});

test('queue: a place is given back once, however often it is said', (t) => {
  const first = call('long');
  const queue = queueOf(4, [first, ...Array.from({ length: 5 }, () => call('long'))]);
  t.is(takeAll(queue).length, 2);
  for (let times = 0; times < 3; times += 1) queue.delete(first);
  t.is(takeAll(queue).length, 1);
});

test('queue: calls of the session go first', (t) => {
  const calls = [call('short'), call('session'), call('long'), call('session')];
  t.deepEqual(
    takeAll(queueOf(4, calls)).map(({ lane }) => lane),
    ['session', 'session', 'short', 'long'],
  );
});

test('queue: who comes back stands where it stood', (t) => {
  const calls = Array.from({ length: 5 }, () => call('short'));
  const queue = queueOf(3, calls);
  const [first, second, third] = takeAll(queue) as [Call, Call, Call];
  queue.setAside(first);
  queue.clearSent();
  for (const each of [third, second, first]) queue.add(each);
  t.deepEqual(takeAll(queue), calls.slice(0, 3));
});

test('queue: who is set aside has no place, does not go out, and counts as waiting', (t) => {
  const calls = [call('short'), call('short'), call('short')];
  const queue = queueOf(1, calls, 3);
  const [first] = takeAll(queue) as [Call];
  t.false(queue.isFull('short'));
  queue.setAside(first);
  t.deepEqual([queue.inFlight, queue.waiting('short')], [0, 3]);
  t.true(queue.isFull('short'));
  t.deepEqual(byArrival(queue.pending()), calls);
  t.deepEqual(takeAll(queue), [calls[1]]);
  queue.delete(first);
  t.is(queue.waiting('short'), 1);
});

test('queue: a full lane says so; it takes no room from the other, and the session has no limit', (t) => {
  const queue = queueOf(1, [call('long'), call('long'), call('session'), call('session')], 2);
  t.deepEqual(
    lanes.map((lane) => queue.isFull(lane)),
    [false, true, false],
  );
});

type Step =
  | { readonly do: 'add'; readonly lane: Lane }
  | { readonly do: 'free' | 'aside' | 'back' | 'drop'; readonly pick: number }
  | { readonly do: 'lose' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('add' as const), lane: fc.constantFrom(...lanes) }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constantFrom('free', 'aside', 'back', 'drop'), pick: fc.nat(1000) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const) }) },
  ),
  { maxLength: 120 },
);

/** Where each call is, kept by hand. */
class Model {
  readonly sent = new Set<Call>();
  readonly waiting = new Set<Call>();
  readonly aside = new Set<Call>();

  move(each: Call, to?: Set<Call>): void {
    for (const set of [this.sent, this.waiting, this.aside]) set.delete(each);
    to?.add(each);
  }

  apply(step: Step, queue: SendQueue<Call>): void {
    if (step.do === 'add') {
      const added = call(step.lane);
      queue.add(added);
      this.move(added, this.waiting);
    } else if (step.do === 'lose') {
      queue.clearSent();
      for (const each of this.sent) {
        queue.add(each);
        this.move(each, this.waiting);
      }
    } else {
      this.#applyTo(step, queue);
    }
  }

  #applyTo(
    { do: what, pick }: { readonly do: 'free' | 'aside' | 'back' | 'drop'; readonly pick: number },
    queue: SendQueue<Call>,
  ): void {
    const from = { free: this.sent, aside: this.sent, back: this.aside, drop: this.waiting }[what];
    const each = [...from][pick % Math.max(1, from.size)];
    if (!each) return;
    if (what === 'aside') queue.setAside(each);
    else if (what === 'back') queue.add(each);
    else queue.delete(each);
    this.move(each, { free: undefined, aside: this.aside, back: this.waiting, drop: undefined }[what]);
  }
}

test('queue: whatever happens, limits hold, lanes keep their order, and no place stays free for which somebody waits', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), steps, (places, plan) => {
      const queue = queueOf(places);
      const model = new Model();
      const mostLong = Math.max(1, Math.floor(places / 2));
      const isLong = ({ lane }: Call): boolean => lane === 'long';
      for (const step of plan) {
        model.apply(step, queue);
        for (let next = queue.take(); next; next = queue.take()) {
          const { lane, arrival } = next;
          t.true(model.waiting.values().every((other) => other.lane !== lane || other.arrival >= arrival));
          model.move(next, model.sent);
        }
        const long = model.sent.values().filter(isLong).toArray().length;
        t.true(model.sent.size <= places && long <= mostLong);
        t.is(queue.inFlight, model.sent.size);
        t.deepEqual(byArrival(queue.pending()), byArrival([...model.waiting, ...model.aside]));
        if (model.sent.size < places)
          t.true(model.waiting.values().every(isLong) && (long === mostLong || model.waiting.size === 0));
      }
    }),
  );
});

test('queue: no call starves, whatever comes after it', (t) => {
  const lane = fc.constantFrom<Lane>('long', 'short');
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.array(lane, { maxLength: 60 }),
      lane,
      fc.array(lane, { minLength: 1 }),
      (places, before, own, later) => {
        const queue = queueOf(
          places,
          before.map((each) => call(each)),
        );
        const awaited = call(own);
        queue.add(awaited);
        const ahead = before.filter((each) => each === own).length;
        let answered = 0;
        for (let round = 0; ; round += 1) {
          const taken = takeAll(queue);
          if (taken.includes(awaited)) break;
          t.true(round <= before.length, 'each round answers at least one that came before');
          for (const each of taken) {
            if (each.lane === own) answered += 1;
            queue.delete(each);
          }
          for (const each of later) queue.add(call(each));
        }
        t.true(answered <= ahead, 'nobody of its lane overtook it');
      },
    ),
  );
});
