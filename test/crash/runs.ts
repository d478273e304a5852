/**
 * Which crashes there are: for each side, each scenario and each recorded step of it one, and one after its end; and for
 * some of these, one at each step of the recovery. Invariant: the steps that are recorded are those of `points.json`, or
 * the run fails and says what differs, so a step that is new has its crash as soon as the list is brought up to date
 * (`npm run test:crash -- --update`). The order of steps is left out, since many are made side by side.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Form, SideName } from './bed.ts';
import { type Crash, type Crasher, NotReached } from './crash.ts';
import { type Scenario, scenarios } from './scenarios.ts';

export interface Run {
  readonly title: string;
  readonly form: Form;
  readonly side: SideName;
  /** None: the program is killed when nothing is under way. */
  readonly scenario: Scenario | undefined;
  readonly isTogether: boolean;
  /** When set, crashes are those of the recovery from a crash there. */
  readonly first: Pick<Crash, 'point' | 'isTogether'> | undefined;
}

/** In how many pieces much is written is up to where the source's file system put its data. */
const countedCopies = 2;

/** How often each step is made, by its name. */
export type Points = Readonly<Record<string, number>>;

const pointsFile = join(import.meta.dirname, 'points.json');
const pointsSchema = z.record(z.string(), z.record(z.string(), z.number()));

/** What a recovery finds: work half done, in each way that it has to end or undo. */
const firsts: readonly (readonly [Form, SideName, scenario: string, point: string])[] = [
  ['apart', 'service', 'create, thin', 'link disks/aside -> disks/crash.vmdk#1'],
  ['apart', 'service', 'create, thin', 'unlink disks/aside#1'],
  ['apart', 'service', 'remove', 'unlink disks/crash-flat.vmdk#1'],
  ['apart', 'service', 'first unmount', 'detach loop#1'],
  ['apart', 'plugin', 'first mount, ext4', 'mount mounts/local/crash#1'],
  ['apart', 'plugin', 'first mount, ext4', 'write state/references.log#1'],
  ['apart', 'plugin', 'first unmount', 'unmount mounts/local/crash#1'],
  ['apart', 'plugin', 'first mount of a clone, xfs', 'unmount private/m*#1'],
  ['embedded', 'plugin', 'first unmount', 'unmount mounts/local/crash#1'],
];

/** Embedded, both sides' steps are one program's, so fewer scenarios show all of them. */
const embedded = ['create, thin', 'clone', 'first mount, ext4', 'first unmount', 'remove'];
/** Where it makes a difference that the other side is gone, too: it has forgotten what it had asked for, or was asked. */
const together = ['create, thin', 'first mount, ext4', 'later mount', 'first unmount', 'remove'];

/** Every point once: one program is killed, the other stays. */
export function runsOf(side: SideName): readonly Run[] {
  return scenarios.filter(({ sides }) => sides.includes(side)).map((scenario) => runOf('apart', side, scenario));
}

/** Crashes in the recovery from a crash, the plainest one first. */
export function recoveriesOf(form: Form, side: SideName): readonly Run[] {
  const plain: Run = { ...runOf(form, side, undefined), first: { point: undefined } };
  const others = firsts.filter(([itsForm, itsSide]) => itsForm === form && itsSide === side);
  return [
    { ...plain, title: `${form}, ${side}: start` },
    ...others.map(([, , name, point]): Run => {
      const run = runOf(form, side, scenarioOf(name));
      // With the other side killed too, nothing is asked anew before the recovery has ended.
      const first = { point, isTogether: side === 'service' };
      return { ...run, title: `${form}, ${side}: start after a crash in ${name}, before "${point}"`, first };
    }),
  ];
}

/** Everything but what the two above give: both killed at once, and the embedded mode. */
export function furtherRuns(): readonly Run[] {
  const bothKilled = (['service', 'plugin'] as const)
    .flatMap(runsOf)
    .filter(({ scenario }) => scenario && together.includes(scenario.name))
    .map((run) => ({ ...run, isTogether: true }));
  return [...bothKilled, ...embedded.map((name) => runOf('embedded', 'plugin', scenarioOf(name)))];
}

function runOf(form: Form, side: SideName, scenario: Scenario | undefined): Run {
  const title = `${form}, ${side}: ${scenario?.name ?? 'nothing'}`;
  return { title, form, side, scenario, isTogether: false, first: undefined };
}

function scenarioOf(name: string): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name);
  if (!found) throw new Error(`there is no scenario "${name}"`);
  return found;
}

export async function recorded({ scenario, side, first }: Run, crasher: Crasher): Promise<Points> {
  const steps = first
    ? await crasher.recordRecovery(scenario, { side, ...first })
    : scenario
      ? await crasher.record(scenario, side)
      : [];
  const counts: Record<string, number> = {};
  for (const step of steps.toSorted()) {
    const count = (counts[step] ?? 0) + 1;
    counts[step] = step.startsWith('copy to ') ? Math.min(count, countedCopies) : count;
  }
  return counts;
}

/** The crashes of a run whose steps are these. */
export function crashesOf({ side, isTogether, first }: Run, points: Points): readonly Crash[] {
  const numbered = Object.entries(points).flatMap(([name, count]) =>
    Array.from({ length: count }, (_, index) => `${name}#${index + 1}`),
  );
  if (first) return numbered.map((second) => ({ side, ...first, second }));
  return [...numbered, undefined].map((point) => ({ side, isTogether, point }));
}

/** A step that is made only now and then may be missing for once. */
export async function crashed(run: Run, crash: Crash, crasher: Crasher): Promise<void> {
  try {
    await crasher.crash(run.scenario, crash);
  } catch (error) {
    if (!(error instanceof NotReached)) throw error;
    throw new Error(`${error.message}; is it made each time?`, { cause: error });
  }
}

export async function knownPoints(): Promise<Readonly<Record<string, Points>>> {
  return pointsSchema.parse(JSON.parse(await readFile(pointsFile, 'utf8')));
}

export async function savePoints(points: Readonly<Record<string, Points>>): Promise<void> {
  const sorted = Object.fromEntries(Object.entries(points).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  await writeFile(pointsFile, `${JSON.stringify(sorted, null, 2)}\n`);
}

/** Empty when they are the same. */
export function differences(known: Points | undefined, now: Points): readonly string[] {
  const names = new Set([...Object.keys(known ?? {}), ...Object.keys(now)]);
  return [...names].flatMap((name) => {
    const [before, after] = [known?.[name] ?? 0, now[name] ?? 0];
    return before === after ? [] : [`"${name}" is made ${after} times, not ${before}`];
  });
}
