/**
 * One of the product's programs, which can be ended in any way and started again. Invariant: at most one process of it
 * at a time, and none after `stop`.
 */
import { readdir, readFile } from 'node:fs/promises';
import type { Daemon } from '../docker/harness/daemon.ts';

export interface ProcessState {
  readonly rssMib: number;
  readonly descriptors: number;
  readonly threads: number;
}

export interface ProgramSetup {
  readonly name: string;
  readonly launch: () => Promise<Daemon>;
  /** Whether it serves. */
  readonly isReady: () => Promise<boolean>;
}

const startMs = 30_000;

export class Program implements AsyncDisposable {
  readonly #setup: ProgramSetup;
  #daemon: Daemon | undefined;

  constructor(setup: ProgramSetup) {
    this.#setup = setup;
  }

  get name(): string {
    return this.#setup.name;
  }

  get isRunning(): boolean {
    return this.#daemon?.isRunning ?? false;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    await this.launch();
    await this.serves(startMs);
  }

  /** Resolves when the process runs, long before it serves. */
  async launch(): Promise<void> {
    if (this.isRunning) throw new Error(`${this.name} runs already`);
    this.#daemon = await this.#setup.launch();
  }

  /** @throws Error with the end of its log when it ended, or does not serve within this time */
  async serves(timeoutMs: number): Promise<void> {
    await this.#running().waitUntil(this.#setup.isReady, timeoutMs);
  }

  /** @returns how it ended: "code 0" when all went well */
  async stop(): Promise<string> {
    return (await this.#daemon?.stop(30_000)) ?? 'code 0';
  }

  async kill9(): Promise<void> {
    await this.#running().kill9();
  }

  /** @throws Error with the end of its log when it does not run any more */
  async state(): Promise<ProcessState> {
    const daemon = this.#running();
    await this.mustRun();
    const of = (file: string): string => `/proc/${String(daemon.pid)}/${file}`;
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(of('status'), 'utf8'))?.[1];
    const [descriptors, threads] = await Promise.all([readdir(of('fd')), readdir(of('task'))]);
    return { rssMib: Math.round(Number(kib) / 1024), descriptors: descriptors.length, threads: threads.length };
  }

  /** @throws Error with the end of its log when it does not run any more */
  async mustRun(): Promise<void> {
    const daemon = this.#running();
    if (!daemon.isRunning) throw new Error(`${this.name} ended with ${await daemon.ended}:\n${await daemon.logTail()}`);
  }

  get logFile(): string {
    return this.#running().logFile;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #running(): Daemon {
    if (!this.#daemon) throw new Error(`${this.name} was never started`);
    return this.#daemon;
  }
}
