/**
 * `npm run test:crash`: kills plugin and service at every step of theirs that changes anything, one at a time and both at
 * once, apart and embedded, and in the recovery from some of these crashes; see `runs.ts` for which, `crash.ts` for what
 * must be true afterwards. It prints a line for each run and the numbers, and ends with 1 when anything was wrong.
 *
 *   npm run test:crash -- [--update] [TITLE]
 *
 *   --update  crashes nothing; writes the steps that it records to `points.json`
 *   TITLE     only runs whose title holds this text
 */
import { messageOf } from '../../common/fault.ts';
import { furtherRuns, knownPoints, type Points, recoveriesOf, type Run, runsOf, savePoints } from './runs.ts';
import { Workshop } from './workshop.ts';

/** As many as keep two processors busy. */
const workers = 3;

const stopped = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => stopped.abort(new Error(`stopped by ${name}`)));
}
const args = process.argv.slice(2);
const isUpdating = args.includes('--update');
const wanted = args.filter((argument) => argument !== '--update').join(' ');

const known = await knownPoints();
const seen: Record<string, Points> = { ...known };
const runs = [
  ...furtherRuns().toReversed(),
  ...recoveriesOf('embedded', 'plugin'),
  ...(['plugin', 'service'] as const).flatMap((side) => [...runsOf(side), ...recoveriesOf('apart', side)]),
].filter(({ title }) => title.includes(wanted));
const tally = { runs: 0, crashes: 0, failures: 0, slowest: { ms: 0, what: '' } };
const since = performance.now();

const waiting = runs.values();
await Promise.all(Array.from({ length: workers }, work));
if (isUpdating) await savePoints(seen);
const seconds = ((performance.now() - since) / 1000).toFixed(0);
console.log(`crash: ${tally.crashes} crashes in ${tally.runs} runs, ${tally.failures} failures, ${seconds} s`);
if (tally.slowest.ms > 0)
  console.log(`crash: slowest recovery ${(tally.slowest.ms / 1000).toFixed(1)} s, ${tally.slowest.what}`);
process.exitCode = tally.failures > 0 || stopped.signal.aborted ? 1 : 0;

async function work(): Promise<void> {
  await using workshop = new Workshop(known);
  for (const run of waiting) {
    if (stopped.signal.aborted) break;
    await one(run, workshop);
  }
  await workshop[Symbol.asyncDispose]();
  if (workshop.slowest.ms > tally.slowest.ms) tally.slowest = workshop.slowest;
}

async function one(run: Run, workshop: Workshop): Promise<void> {
  const begun = performance.now();
  try {
    const { points, crashes, failures } = await workshop.run(run, stopped.signal, isUpdating);
    if (points) seen[run.title] = points;
    tally.runs += 1;
    tally.crashes += crashes;
    tally.failures += failures.length;
    const how = failures.length === 0 ? 'ok  ' : 'FAIL';
    const both = run.isTogether ? ', both killed' : '';
    console.log(`${how} ${run.title}${both}: ${crashes} crashes, ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    for (const text of failures) console.log(`     ${text.replaceAll('\n', '\n     ')}`);
  } catch (error) {
    tally.failures += 1;
    console.log(`FAIL ${run.title}: ${messageOf(error)}`);
  }
}
