/**
 * Runs on beds, one after another. Invariant: a crash after which something was wrong ends with its bed, so that what
 * comes next starts on a sound one; every failure is told, with the ends of the logs.
 */
import { messageOf } from '../../common/fault.ts';
import { CrashBed, type Form } from './bed.ts';
import { Crasher } from './crash.ts';
import { crashed, crashesOf, differences, type Points, recorded, type Run } from './runs.ts';
import { Bystanders } from './volumes.ts';

export interface Outcome {
  /** Undefined when they could not be recorded. */
  readonly points: Points | undefined;
  readonly crashes: number;
  /** A text for each. */
  readonly failures: readonly string[];
}

interface Opened extends AsyncDisposable {
  readonly bed: CrashBed;
  readonly crasher: Crasher;
}

const logLines = 8;

export class Workshop implements AsyncDisposable {
  readonly #known: Readonly<Record<string, Points>>;
  #opened: Opened | undefined;
  /** The longest time that all took to be in step after a restart. */
  slowest = { ms: 0, what: '' };

  /** @param known the steps that each run should have, by its title */
  constructor(known: Readonly<Record<string, Points>>) {
    this.#known = known;
  }

  /** Its steps, and whether they are those of the list; all its crashes unless `onlyRecords`. */
  async run(run: Run, signal: AbortSignal, onlyRecords = false): Promise<Outcome> {
    const failures: string[] = [];
    const points = await this.#attempt(run, 'recording its steps', failures, ({ crasher }) => recorded(run, crasher));
    if (!points || onlyRecords) return { points, crashes: 0, failures };
    const differing = differences(this.#known[run.title], points);
    if (differing.length > 0)
      failures.push(`${run.title}: the steps are not those of points.json: ${differing.join('; ')}`);
    const crashes = crashesOf(run, points);
    for (const crash of crashes) {
      if (signal.aborted) break;
      const what = `crash before "${crash.second ?? crash.point ?? 'nothing'}"`;
      await this.#attempt(run, what, failures, ({ crasher }) => crashed(run, crash, crasher));
    }
    return { points, crashes: crashes.length, failures };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #attempt<T>(
    run: Run,
    what: string,
    failures: string[],
    work: (opened: Opened) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await work(await this.#open(run.form));
    } catch (error) {
      const logs = (this.#opened?.bed.sides ?? []).map(async (side) => `${side.name}: ${await side.logTail(logLines)}`);
      failures.push([`${run.title}, ${what}: ${messageOf(error)}`, ...(await Promise.all(logs))].join('\n'));
      await this.#close();
      return undefined;
    }
  }

  async #open(form: Form): Promise<Opened> {
    if (this.#opened?.bed.form === form) return this.#opened;
    await this.#close();
    await using stack = new AsyncDisposableStack();
    const bed = stack.use(await CrashBed.open(form));
    const bystanders = stack.use(await Bystanders.make(bed));
    const owned = stack.move();
    this.#opened = {
      bed,
      crasher: new Crasher(bed, bystanders),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
    return this.#opened;
  }

  async #close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    if (opened && opened.crasher.slowest.ms > this.slowest.ms) this.slowest = opened.crasher.slowest;
    await opened?.[Symbol.asyncDispose]();
  }
}
