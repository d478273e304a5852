/** One of the product's daemons in the run's mount namespace. Invariant: it has ended when this was disposed. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deadline, pause } from '../../common/deadline.ts';
import { type Command, mustRun } from '../../scripts/command.ts';
import { Daemon } from '../docker/harness/daemon.ts';
import type { HeapState } from './heap-probe.ts';
import type { TestBed } from './test-bed.ts';

/** What the kernel says of the process. */
export interface ProcessState {
  readonly rssMib: number;
  readonly descriptors: number;
  readonly threads: number;
}

export interface ProcessSetup {
  readonly name: string;
  readonly command: Command;
  /** For its log and what its probe writes. */
  readonly folder: string;
  /** Looked through for programs before the system's folders. */
  readonly toolFolder?: string | undefined;
  /** Whether its heap can be asked for; its start then takes longer. */
  readonly isProbed?: boolean | undefined;
}

const probe = join(import.meta.dirname, 'heap-probe.ts');
const startTimeoutMs = 60_000;
const heapTimeoutMs = 10_000;

export class MeasuredProcess implements AsyncDisposable {
  readonly #daemon: Daemon;
  readonly #heapFile: string;
  readonly #signal: AbortSignal;

  private constructor(daemon: Daemon, heapFile: string, signal: AbortSignal) {
    this.#daemon = daemon;
    this.#heapFile = heapFile;
    this.#signal = signal;
  }

  /** @param isReady throws what `isNotThereYet` knows while it is too early */
  static async start(
    bed: TestBed,
    setup: ProcessSetup,
    isReady: (signal: AbortSignal) => Promise<unknown>,
    signal: AbortSignal,
  ): Promise<MeasuredProcess> {
    const heapFile = join(setup.folder, `${setup.name}.heap`);
    const daemon = await Daemon.start({
      name: setup.name,
      command: bed.inside(setup.command),
      env: environmentOf(setup, heapFile),
      logFile: join(setup.folder, `${setup.name}.log`),
    });
    try {
      await until(isReady, daemon, signal);
      return new MeasuredProcess(daemon, heapFile, signal);
    } catch (error) {
      const log = await daemon.logTail();
      await daemon.stop();
      throw new Error(`${setup.name} did not start:\n${log}`, { cause: error });
    }
  }

  async state(): Promise<ProcessState> {
    const of = (file: string): string => `/proc/${String(this.#daemon.pid)}/${file}`;
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(of('status'), 'utf8'))?.[1];
    const [descriptors, threads] = await Promise.all([readdir(of('fd')), readdir(of('task'))]);
    return { rssMib: Number(kib) / 1024, descriptors: descriptors.length, threads: threads.length };
  }

  /** After a collection of all garbage. */
  async heap(): Promise<HeapState> {
    await rm(this.#heapFile, { force: true });
    await mustRun(['kill', '-USR2', String(this.#daemon.pid)]);
    using limit = deadline(heapTimeoutMs, 'the answer of the heap probe', this.#signal);
    for (;;) {
      const text = await readFile(this.#heapFile, 'utf8').catch(() => undefined);
      if (text !== undefined) return JSON.parse(text) as HeapState;
      await pause(10, limit.signal);
    }
  }

  /** Without a chance to clean up. */
  async kill(): Promise<void> {
    await this.#daemon.kill9();
  }

  /** What it said is shown when it said anything at all: at this log level it should not. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop();
    const said = await this.#daemon.logTail(5);
    if (said !== '') console.error(`${this.#daemon.name} logged:\n${said}`);
  }
}

/** Variables of the product's own name are configuration to it. */
function environmentOf({ toolFolder, isProbed }: ProcessSetup, heapFile: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('VMDK_')),
  );
  if (toolFolder !== undefined) env['PATH'] = `${toolFolder}:${env['PATH'] ?? ''}`;
  if (isProbed === true) Object.assign(env, { NODE_OPTIONS: `--expose-gc --import=${probe}`, BENCH_HEAP: heapFile });
  return env;
}

async function until(
  isReady: (signal: AbortSignal) => Promise<unknown>,
  daemon: Daemon,
  signal: AbortSignal,
): Promise<void> {
  using limit = deadline(startTimeoutMs, `the start of ${daemon.name}`, signal);
  for (;;) {
    if (!daemon.isRunning) throw new Error(`it ended with ${await daemon.ended}`);
    try {
      await isReady(limit.signal);
      return;
    } catch (error) {
      limit.signal.throwIfAborted();
      if (!isNotThereYet(error)) throw error;
    }
    await pause(1, limit.signal);
  }
}

function isNotThereYet(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED');
}
