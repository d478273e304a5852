/**
 * Holds on to a mount namespace while the programs in it come and go. Invariant: from its opening to its end the
 * namespace can be entered, and its files be reached from here.
 */
import { Daemon } from '../docker/harness/daemon.ts';
import type { Command } from '../../scripts/command.ts';

const startMs = 10_000;

export class Anchor implements AsyncDisposable {
  readonly #daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  /** @param inside gives the same command, inside the namespace */
  static async drop(inside: (command: Command) => Command, logFile: string): Promise<Anchor> {
    const command = inside(['sh', '-c', 'echo inside; exec tail -f /dev/null']);
    const daemon = await Daemon.start({ name: 'anchor', command, env: process.env, logFile });
    await daemon.waitUntil(async () => (await daemon.logTail()) === 'inside', startMs);
    return new Anchor(daemon);
  }

  /** Where the root folder of the namespace can be reached from here. */
  get rootFolder(): string {
    return `/proc/${String(this.#daemon.pid)}/root`;
  }

  /** The same command, inside. */
  inside(command: Command): Command {
    return intoMountsOf(this.#daemon.pid, command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.kill9();
  }
}

/** The same command, in the mount namespace of this process. */
export function intoMountsOf(pid: number, command: Command): Command {
  return ['nsenter', `--mount=/proc/${String(pid)}/ns/mnt`, '--', ...command];
}
