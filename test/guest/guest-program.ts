/** A program that goes on running in a guest. Invariant: when it is disposed, nothing that it started runs any more. */
import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import { abortable, deadline } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import type { Guest } from './guest.ts';
import { guestProgram } from './programs.ts';

/** Under emulation, the start of a program may take ten seconds of a processor, which others want as well. */
const answerMs = 120_000;
/** No file of tests is as long, however busy the machine. */
const lifeMs = 2_700_000;

export class GuestProgram implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #ended: Promise<unknown>;
  readonly #news = new EventEmitter();
  #output = '';

  private constructor(guest: Guest, command: string) {
    this.#ended = guest.run(`exec ${command} 2>&1`, {
      timeoutMs: lifeMs,
      signal: this.#stop.signal,
      onOutput: (text) => {
        this.#output += text;
        this.#news.emit('output');
      },
    });
    this.#ended.then(
      () => this.#news.emit('end'),
      () => this.#news.emit('end'),
    );
  }

  /** Resolves when the program has written this. */
  static async start(guest: Guest, command: string, sign: string): Promise<GuestProgram> {
    const program = new GuestProgram(guest, command);
    try {
      await program.until(sign);
      return program;
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** As `start`, of a program of ours in C, which is put into the guest first. */
  static async startOurs(
    guest: Guest,
    name: Parameters<typeof guestProgram>[0],
    sign: string,
    ...args: readonly string[]
  ): Promise<GuestProgram> {
    const place = `/tmp/${name}`;
    await guest.copyIn(await readFile(await guestProgram(name)), place);
    await guest.mustRun(`chmod 755 ${place}`);
    return await GuestProgram.start(guest, [place, ...args].join(' '), sign);
  }

  /** Resolves when it has written this, now or earlier. */
  async until(sign: string): Promise<void> {
    using limit = deadline(answerMs, `"${sign}" of a program in the guest`);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const look = (): void => {
      if (this.#output.includes(sign)) resolve(undefined);
    };
    const end = (): void => reject(new Error(`a program in the guest has ended before "${sign}"`));
    this.#news.on('output', look).once('end', end);
    look();
    try {
      await abortable(promise, limit.signal);
    } catch (error) {
      throw new Error(`${messageOf(error)}; it has said: ${this.#output}`, { cause: error });
    } finally {
      this.#news.off('output', look).off('end', end);
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
