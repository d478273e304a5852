/** The schedule of a storm, and the chance behind it. */
import test from 'ava';
import { ClientPlan } from './plan.ts';
import { Random } from './random.ts';
import { rosterOf } from './roster.ts';
import { describeStep } from './step.ts';

function scheduleOf(seed: string): readonly string[] {
  const roster = rosterOf(10, 20);
  return Array.from({ length: 10 }, (_, client) => {
    const plan = new ClientPlan(roster, client, new Random(seed).fork(`client ${client}`));
    return [...plan.next(30), ...plan.next(30)].map(describeStep);
  }).flat();
}

test('plan: the same seed makes the same schedule', (t) => {
  t.deepEqual(scheduleOf('one'), scheduleOf('one'));
});

test('plan: another seed makes another schedule', (t) => {
  t.notDeepEqual(scheduleOf('one'), scheduleOf('two'));
});

test('plan: every kind of step comes', (t) => {
  const kinds = new Set(scheduleOf('one').map((text) => /^(hang up|[a-z]+)/.exec(text)?.[0]));
  const all = ['bad', 'create', 'get', 'hang up', 'list', 'mount', 'path', 'remove', 'unmount', 'verify', 'write'];
  t.deepEqual([...kinds].sort(), all);
});

test('roster: 100 clients and 200 volumes are 200 private ones and 20 for all', (t) => {
  const { own, shared, contended, golden, all } = rosterOf(100, 200);
  t.is(own.flat().length, 200);
  t.is(shared.length + contended.length + golden.length, 20);
  t.is(new Set(all.map(({ full }) => full)).size, 220);
});

test('random: numbers are spread over their range, and a fork does not depend on what was drawn before', (t) => {
  const random = new Random('spread');
  const counts = Array.from({ length: 10 }, () => 0);
  for (let n = 0; n < 10_000; n += 1) {
    const place = random.whole(0, 9);
    counts[place] = (counts[place] ?? 0) + 1;
  }
  t.deepEqual(
    counts.filter((count) => count <= 850 || count >= 1150),
    [],
  );
  t.is(random.fork('a').next(), new Random('spread').fork('a').next());
});
