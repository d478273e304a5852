/**
 * A program that lives no longer than its owner. Invariant: the kernel kills it with this process, however that ends;
 * disposing returns when it has ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { abortable, deadline } from '../../common/deadline.ts';
import type { Command } from '../../scripts/command.ts';

const endMs = 10_000;
const keptCharacters = 8192;

export class OwnedProcess implements AsyncDisposable {
  readonly #child: ChildProcess & { readonly stdout: Readable; readonly stderr: Readable };
  readonly #ended: Promise<void>;
  #complaints = '';

  constructor(command: Command) {
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints = (this.#complaints + text).slice(-keptCharacters);
    });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#child.once('error', (error) => {
      this.#complaints += error.message;
      resolve(undefined);
    });
    this.#child.once('close', () => resolve(undefined));
    this.#ended = promise;
  }

  get output(): Readable {
    return this.#child.stdout;
  }

  /** The end of what it wrote to its error output. */
  get complaints(): string {
    return this.#complaints;
  }

  /** Resolves when it has ended, by itself or not. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** To a process that was not reaped yet, and so to no other. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL');
    this.output.resume();
    using limit = deadline(endMs, `the end of process ${String(this.#child.pid)}`);
    await abortable(this.#ended, limit.signal);
  }
}
