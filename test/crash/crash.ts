/**
 * One scenario on a bed: run once to learn its steps, or with a crash at one of them, or with a second one in the
 * recovery from the first. Invariant: whatever the crash, when all runs again the request is wholly done or wholly
 * undone, repeating it succeeds, the volume can be used and removed, no data is lost and nothing is left over. The bed
 * is then as before. Left to callers: a bed on which this threw is not to be used again.
 */
import { abortable, deadline, pause } from '../../common/deadline.ts';
import type { Answer } from '../soak/plugin-door.ts';
import type { CrashBed, SideName } from './bed.ts';
import type { Side } from './side.ts';
import { type Scenario, subject } from './scenarios.ts';
import { flawsOf, isMounted, observe, type State } from './state.ts';
import { type Bystanders, checkData, must, writeData } from './volumes.ts';

export interface Crash {
  readonly side: SideName;
  /** `NAME#n`; undefined for a crash after the answer. */
  readonly point: string | undefined;
  /** Whether the other program is killed at the same time. */
  readonly isTogether?: boolean;
  /** A step of the restart, before which the program dies again. */
  readonly second?: string;
}

/** In an object, since a promise of a promise is waited for. */
interface Asked {
  readonly answer: Promise<Answer | undefined>;
}

/** How long all may take to be in step again. */
const settleMs = 20_000;
const crashMs = 60_000;

export class NotReached extends Error {}

export class Crasher {
  readonly #bed: CrashBed;
  readonly #bystanders: Bystanders;
  /** In milliseconds, over all crashes: from the restart until all was in step. */
  slowest = { ms: 0, what: '' };

  constructor(bed: CrashBed, bystanders: Bystanders) {
    this.#bed = bed;
    this.#bystanders = bystanders;
  }

  /** The steps of one side, and at the end all is as before. */
  async record(scenario: Scenario, sideName: SideName): Promise<readonly string[]> {
    const side = this.#bed.side(sideName);
    await scenario.prepare(this.#bed);
    await side.arm();
    await this.#repeat(scenario);
    await side.disarm();
    const steps = await side.steps();
    await this.#useAndRemove(scenario);
    return countable(steps);
  }

  /** The steps of a restart after this crash. */
  async recordRecovery(scenario: Scenario | undefined, crash: Crash): Promise<readonly string[]> {
    const side = this.#bed.side(crash.side);
    const { answer: asked } = await this.#crash(scenario, crash);
    await side.arm();
    await side.start();
    await side.disarm();
    const steps = await side.steps();
    await this.#bed.startAll();
    await asked;
    await this.#settled();
    await this.#finish(scenario);
    return countable(steps);
  }

  /** @throws NotReached when the scenario or its recovery ended without that step */
  async crash(scenario: Scenario | undefined, crash: Crash): Promise<void> {
    const { answer: asked } = await this.#crash(scenario, crash);
    const side = this.#bed.side(crash.side);
    if (crash.second !== undefined) {
      await side.arm(crash.second);
      await side.launch();
      await this.#dead(side, crash.second, side.ready());
      await side.disarm();
    }
    const since = performance.now();
    await this.#bed.startAll();
    const answer = await asked;
    const state = await this.#settled();
    this.#time(performance.now() - since, `${scenario?.name ?? 'nothing'}: ${crash.point ?? 'end'}`);
    if (scenario) await this.#judge(scenario, state, answer);
    await this.#finish(scenario);
  }

  /** Brings the crash about, and gives what becomes of the request. */
  async #crash(scenario: Scenario | undefined, { side: name, point, isTogether }: Crash): Promise<Asked> {
    const bed = this.#bed;
    const side = bed.side(name);
    await scenario?.prepare(bed);
    let asked: Promise<Answer | undefined> = Promise.resolve(undefined);
    if (scenario) {
      if (point !== undefined) await side.arm(point);
      asked = bed.ask(scenario.verb, scenario.body);
      asked.catch(() => undefined);
    }
    if (point === undefined) await asked;
    else await this.#dead(side, point, asked);
    await side.disarm();
    for (const one of bed.sides) if (one === side || isTogether === true) await one.kill();
    return { answer: asked };
  }

  /** @param otherwise what ends when the step does not come */
  async #dead(side: Side, point: string, otherwise: Promise<unknown>): Promise<void> {
    using limit = deadline(crashMs, `the crash of ${side.name} at "${point}"`);
    const ended = otherwise.then(() => pause(1_000, limit.signal)).catch(() => undefined);
    await abortable(Promise.race([side.ended(), ended]), limit.signal);
    if (side.isRunning) throw new NotReached(`${side.name} never came to "${point}"`);
    await side.died(limit.signal);
  }

  async #judge(scenario: Scenario, state: State, answer: Answer | undefined): Promise<void> {
    const isDone = scenario.isDone(state);
    if (answer?.kind === 'ok' && !isDone) throw new Error('it was answered as done, and is not');
    if (scenario.dataOf === undefined || !state.listed.includes(subject)) return;
    if (isMounted(state, subject)) await checkData(this.#bed, subject, scenario.dataOf);
    else if (scenario.verb === 'Remove') await this.#readOnce(scenario.dataOf);
  }

  async #readOnce(writtenTo: string): Promise<void> {
    await must(this.#bed, 'Mount', { Name: subject, ID: 'look' });
    await checkData(this.#bed, subject, writtenTo);
    await must(this.#bed, 'Unmount', { Name: subject, ID: 'look' });
  }

  async #finish(scenario: Scenario | undefined): Promise<void> {
    if (scenario) {
      await this.#repeat(scenario);
      await this.#useAndRemove(scenario);
    }
    await this.#bystanders.check();
    await this.#settled();
  }

  async #repeat({ verb, body, isDone, name }: Scenario): Promise<void> {
    await must(this.#bed, verb, body);
    if (!isDone(await this.#settled())) throw new Error(`${name} is not done, though it was answered so`);
  }

  /** A whole cycle, after which the volume is gone. */
  async #useAndRemove({ verb, dataOf, source, isReadOnly = false }: Scenario): Promise<void> {
    const bed = this.#bed;
    const { health } = await observe(bed);
    for (const ID of health.mounted.find(({ volume }) => volume === `${subject}@local`)?.references ?? [])
      await must(bed, 'Unmount', { Name: subject, ID });
    if (verb === 'Remove') await must(bed, 'Create', { Name: subject, Opts: {} });
    await must(bed, 'Mount', { Name: subject, ID: 'cycle' });
    if (dataOf !== undefined && verb !== 'Remove') await checkData(bed, subject, dataOf);
    if (!isReadOnly) await writeData(bed, subject);
    await must(bed, 'Unmount', { Name: subject, ID: 'cycle' });
    await must(bed, 'Mount', { Name: subject, ID: 'cycle' });
    if (!isReadOnly) await checkData(bed, subject);
    await must(bed, 'Unmount', { Name: subject, ID: 'cycle' });
    await must(bed, 'Remove', { Name: subject });
    if (source !== undefined) await must(bed, 'Remove', { Name: source });
    if ((await this.#settled()).listed.includes(subject)) throw new Error('the removed volume is still listed');
  }

  /** @throws Error that lists what is still out of step after the time that all may take */
  async #settled(): Promise<State> {
    using limit = deadline(settleMs, 'settling');
    for (;;) {
      const state = await observe(this.#bed);
      const flaws = flawsOf(state);
      if (flaws.length === 0) return state;
      if (limit.signal.aborted)
        throw new Error(`not in step after ${String(settleMs / 1000)} s:\n  ${flaws.join('\n  ')}`);
      await pause(20, limit.signal).catch(() => undefined);
    }
  }

  #time(ms: number, what: string): void {
    if (ms > this.slowest.ms) this.slowest = { ms, what };
  }
}

/** Without the answers to our own questions, of which the first to Docker is the request's. */
function countable(steps: readonly string[]): readonly string[] {
  const first = steps.indexOf('send docker');
  return steps.filter((step, place) => step !== 'send admin' && (step !== 'send docker' || place === first));
}
