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

export class Program implements AsyncDisposable {
  readonly name: string;
  /** Starts a process, and resolves when it serves. */
  readonly #launch: () => Promise<Daemon>;
  #daemon: Daemon | undefined;

  constructor(name: string, launch: () => Promise<Daemon>) {
    this.name = name;
    this.#launch = launch;
  }

  get pid(): number {
    return this.#running().pid;
  }

  async start(): Promise<void> {
    if (this.#daemon?.isRunning) throw new Error(`${this.name} runs already`);
    this.#daemon = await this.#launch();
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
    if (!daemon.isRunning) throw new Error(`${this.name} ended with ${await daemon.ended}:\n${await daemon.logTail()}`);
    const of = (file: string): string => `/proc/${String(daemon.pid)}/${file}`;
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(of('status'), 'utf8'))?.[1];
    const [descriptors, threads] = await Promise.all([readdir(of('fd')), readdir(of('task'))]);
    return { rssMib: Math.round(Number(kib) / 1024), descriptors: descriptors.length, threads: threads.length };
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
