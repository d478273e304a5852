/**
 * One of the two programs, with the library of crash points in it. Invariants: at most one process at a time, none after
 * disposal; steps are recorded, and the process dies, only between `arm` and `disarm`.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { abortable, deadline } from '../../common/deadline.ts';
import { errnoOf } from '../../common/fault.ts';
import type { Command } from '../../scripts/command.ts';
import { Daemon } from '../docker/harness/daemon.ts';

export interface SideSetup {
  readonly name: string;
  /** Of the bed: logs and what the library says are there. */
  readonly folder: string;
  readonly command: Command;
  readonly library: string;
  readonly tools: string;
  /** What each folder is for; the first that fits counts. */
  readonly roles: readonly (readonly [role: string, folder: string])[];
  /** What it logs when it serves, as the last thing that a start does. */
  readonly readyMessage: string;
}

/** On a busy machine. */
const limitMs = 60_000;

export class Side implements AsyncDisposable {
  readonly #setup: SideSetup;
  readonly #control: string;
  #starts = 0;
  #daemon: Daemon | undefined;

  constructor(setup: SideSetup) {
    this.#setup = setup;
    this.#control = join(setup.folder, `crash-${setup.name}`);
  }

  get name(): string {
    return this.#setup.name;
  }

  get pid(): number {
    return this.#running.pid;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    await this.launch();
    await this.ready();
  }

  async ready(): Promise<void> {
    const daemon = this.#running;
    await daemon.waitUntil(async () => (await readFile(daemon.logFile, 'utf8')).includes(this.#ready), limitMs);
  }

  /** Starts it, and waits for nothing. */
  async launch(): Promise<void> {
    if (this.#daemon?.isRunning) throw new Error(`${this.name} runs already`);
    const { name, folder, command, library, tools, roles } = this.#setup;
    await mkdir(this.#control, { recursive: true });
    // Variables of the product's own name are configuration to it.
    const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('VMDK_'));
    this.#daemon = await Daemon.start({
      name,
      command,
      env: {
        ...Object.fromEntries(inherited),
        PATH: `${tools}:${process.env['PATH'] ?? ''}`,
        LD_PRELOAD: library,
        CRASH_DIR: this.#control,
        CRASH_ROLES: roles.map(([role, path]) => `${role}=${path}`).join('\n'),
      },
      logFile: join(folder, `${name}-${String((this.#starts += 1))}.log`),
    });
  }

  get #ready(): string {
    return JSON.stringify({ message: this.#setup.readyMessage }).slice(1, -1);
  }

  /** Records from now on, across restarts. @param target `NAME#n`, before which the process is to die */
  async arm(target = ''): Promise<void> {
    await mkdir(this.#control, { recursive: true });
    await rm(join(this.#control, 'steps'), { force: true });
    const aside = join(this.#control, 'armed.new');
    await writeFile(aside, `${randomUUID()}\n${target}\n`);
    await rename(aside, join(this.#control, 'armed'));
  }

  async disarm(): Promise<void> {
    await rm(join(this.#control, 'armed'), { force: true });
  }

  /** Since it was armed, in their order. */
  async steps(): Promise<readonly string[]> {
    const text = await readFile(join(this.#control, 'steps'), 'utf8').catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
      return '';
    });
    const steps: string[] = [];
    for (const line of text.split('\n').slice(0, -1)) {
      if (line.startsWith('not ')) steps.splice(steps.lastIndexOf(line.slice(4)), 1);
      else steps.push(line);
    }
    return steps;
  }

  /** @throws Error when it does not die, or otherwise than of the library's SIGKILL, with the end of its log */
  async died(signal: AbortSignal): Promise<void> {
    const how = await abortable(this.#running.ended, signal).catch(() => 'not');
    if (how !== 'SIGKILL') throw new Error(`${this.name} ended ${how}:\n${await this.#running.logTail(8)}`);
  }

  ended(): Promise<string> {
    return this.#running.ended;
  }

  get isRunning(): boolean {
    return this.#daemon?.isRunning ?? false;
  }

  async kill(): Promise<void> {
    using limit = deadline(limitMs, `the end of ${this.name}`);
    if (this.isRunning) await abortable(this.#running.kill9(), limit.signal);
  }

  async logTail(lines: number): Promise<string> {
    return this.#daemon ? await this.#daemon.logTail(lines) : '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  get #running(): Daemon {
    if (!this.#daemon) throw new Error(`${this.name} was never started`);
    return this.#daemon;
  }
}
