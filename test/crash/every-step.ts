/** Every step of one side once, with the other side running on. The rest is in `npm run test:crash`. */
import type { TestFn } from 'ava';
import type { SideName } from './bed.ts';
import { knownPoints, recoveriesOf, runsOf } from './runs.ts';
import { Workshop } from './workshop.ts';

/** On a busy machine; alone it takes a tenth of that. */
const timeoutMs = 300_000;

/** Declares a test for each scenario. */
export async function testEveryStepOf(side: SideName, test: TestFn): Promise<void> {
  const runs = [...runsOf(side), ...recoveriesOf('apart', side).slice(0, 1)];
  const stopped = new AbortController();
  const workshop = new Workshop(await knownPoints());
  let crashes = 0;
  test.after.always(async (t) => {
    stopped.abort();
    await workshop[Symbol.asyncDispose]();
    t.log(`${crashes} crashes of the ${side} in ${runs.length} scenarios`);
  });
  for (const run of runs) {
    const what = run.scenario?.name ?? 'its start';
    test.serial(
      `crash: the ${side} may be killed at any step of "${what}", and all comes back by itself`,
      async (t) => {
        t.timeout(timeoutMs);
        const outcome = await workshop.run(run, stopped.signal);
        crashes += outcome.crashes;
        t.deepEqual(outcome.failures, []);
      },
    );
  }
}
