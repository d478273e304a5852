/**
 * A long-running program that we started and that we end. Invariant: it never outlives us, not even when we are killed
 * (the kernel then sends it SIGTERM), and its whole output is in a file that a failure quotes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { abortable, deadline, pause } from '../../../common/deadline.ts';
import type { Command } from '../../../scripts/command.ts';

export interface DaemonSetup {
  /** For messages. */
  readonly name: string;
  readonly command: Command;
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
}

export class Daemon implements AsyncDisposable {
  readonly name: string;
  readonly logFile: string;
  readonly pid: number;
  /** Resolves with "code 0", "SIGKILL" and the like. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;

  private constructor(setup: DaemonSetup, child: ChildProcess, pid: number) {
    this.name = setup.name;
    this.logFile = setup.logFile;
    this.pid = pid;
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, killedBy) => resolve(killedBy ?? `code ${String(code)}`));
    });
  }

  static async start(setup: DaemonSetup): Promise<Daemon> {
    await using log = await open(setup.logFile, 'a');
    const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...setup.command], {
      stdio: ['ignore', log.fd, log.fd],
      env: setup.env,
      // A session of its own: Ctrl-C is for us, and we end it in our order.
      detached: true,
    });
    const { promise: spawned, resolve, reject } = Promise.withResolvers<undefined>();
    child.once('spawn', resolve);
    child.once('error', reject);
    await spawned;
    return new Daemon(setup, child, child.pid ?? 0);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Asks until the answer is true; fails when the program ends or the time is over, with the end of its log. */
  async waitUntil(isReady: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    using limit = deadline(timeoutMs, `waiting for ${this.name}`);
    while (this.isRunning && !limit.signal.aborted) {
      if (await isReady()) return;
      await pause(20, limit.signal).catch(() => undefined);
    }
    const why = this.isRunning ? `is not ready after ${timeoutMs} ms` : `ended with ${await this.ended}`;
    throw new Error(`${this.name} ${why}:\n${await this.logTail()}`);
  }

  /** SIGTERM, and SIGKILL when that took too long; resolves when it has ended. Returns how it ended. */
  async stop(graceMs = 15_000): Promise<string> {
    if (!this.isRunning) return this.ended;
    this.#child.kill('SIGTERM');
    using limit = deadline(graceMs, `ending ${this.name}`);
    return await abortable(this.ended, limit.signal).catch(() => this.kill9());
  }

  async kill9(): Promise<string> {
    this.#child.kill('SIGKILL');
    return this.ended;
  }

  async logTail(lines = 30): Promise<string> {
    return (await readFile(this.logFile, 'utf8')).trimEnd().split('\n').slice(-lines).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
