/** A program that goes on running in a guest. Invariant: when it is disposed, nothing that it started runs any more. */
import { abortable, deadline } from '../../common/deadline.ts';
import type { Guest } from './guest.ts';

const startMs = 60_000;
/** No test is as long. */
const lifeMs = 600_000;

export class GuestProgram implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #ended: Promise<unknown>;
  #output = '';

  private constructor(guest: Guest, command: string, onOutput: () => void) {
    this.#ended = guest.run(`exec ${command} 2>&1`, {
      timeoutMs: lifeMs,
      signal: this.#stop.signal,
      onOutput: (text) => {
        this.#output += text;
        onOutput();
      },
    });
    this.#ended.catch(() => undefined);
  }

  /** Resolves when the program has written this. */
  static async start(guest: Guest, command: string, sign: string): Promise<GuestProgram> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const program = new GuestProgram(guest, command, () => {
      if (program.output.includes(sign)) resolve(undefined);
    });
    program.#ended.then(() => reject(new Error(`"${command}" has ended: ${program.output}`)), reject);
    using limit = deadline(startMs, `"${command}" in the guest`);
    try {
      await abortable(promise, limit.signal);
      return program;
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** All that it has written so far. */
  get output(): string {
    return this.#output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.#ended.catch(() => undefined);
  }
}
