/**
 * The plugin as users run it: a process of its own in embedded mode, asked through its socket. Invariant: it has ended
 * when this was disposed.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deadline, pause } from '../../common/deadline.ts';
import { Daemon } from '../docker/harness/daemon.ts';
import { DriverClient } from './driver-client.ts';
import type { TestBed } from './test-bed.ts';

const program = join(import.meta.dirname, '../../bin/vmdk-plugin');
const startTimeoutMs = 30_000;

/** What the kernel says of the process. */
export interface ProcessState {
  readonly rssMib: number;
  readonly descriptors: number;
  readonly threads: number;
}

export class Product implements AsyncDisposable {
  /** From the start of the process to its first answer. */
  readonly startMs: number;
  readonly #socket: string;
  readonly #daemon: Daemon;
  readonly #signal: AbortSignal;

  private constructor(setup: { startMs: number; socket: string; daemon: Daemon; signal: AbortSignal }) {
    this.startMs = setup.startMs;
    this.#socket = setup.socket;
    this.#daemon = setup.daemon;
    this.#signal = setup.signal;
  }

  /** @param name of the folder, in the bed's, that holds its files; a datastore may be in it already */
  static async start(bed: TestBed, name: string, signal: AbortSignal): Promise<Product> {
    const folder = bed.path(name);
    const at = (file: string): string => join(folder, file);
    for (const inner of ['mounts', 'state', 'datastore']) await mkdir(at(inner), { recursive: true });
    const command = [
      program,
      ...['--embedded', '--log-level', 'warn', '--socket', at('plugin.sock'), '--mount-root', at('mounts')],
      ...['--state-dir', at('state'), '--datastore', at('datastore'), '--admin-socket', at('admin.sock')],
    ] as const;
    const since = performance.now();
    const daemon = await Daemon.start({
      name: 'vmdk-plugin',
      command: bed.inside(command),
      env: productEnvironment(),
      logFile: at('plugin.log'),
    });
    try {
      await firstAnswer(at('plugin.sock'), daemon, signal);
      return new Product({ startMs: performance.now() - since, socket: at('plugin.sock'), daemon, signal });
    } catch (error) {
      const log = await daemon.logTail();
      await daemon.stop();
      throw new Error(`the plugin did not start:\n${log}`, { cause: error });
    }
  }

  client(): Promise<DriverClient> {
    return DriverClient.open(this.#socket, this.#signal);
  }

  async state(): Promise<ProcessState> {
    const of = (file: string): string => `/proc/${String(this.#daemon.pid)}/${file}`;
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(of('status'), 'utf8'))?.[1];
    const [descriptors, threads] = await Promise.all([readdir(of('fd')), readdir(of('task'))]);
    return { rssMib: Number(kib) / 1024, descriptors: descriptors.length, threads: threads.length };
  }

  /** What it said is shown when it said anything at all: at this log level it should not. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop();
    const said = await this.#daemon.logTail(5);
    if (said !== '') console.error(`the plugin logged:\n${said}`);
  }
}

/** Variables of our own name are configuration to it. */
function productEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VMDK_')));
}

async function firstAnswer(socket: string, daemon: Daemon, signal: AbortSignal): Promise<void> {
  using limit = deadline(startTimeoutMs, 'the start of the plugin', signal);
  for (;;) {
    if (!daemon.isRunning) throw new Error(`it ended with ${await daemon.ended}`);
    try {
      using client = await DriverClient.open(socket, limit.signal);
      await client.activate();
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
