/**
 * A container whose output the docker command line passes on as it comes. Invariant: every wait ends with what was
 * waited for, with a deadline, or with the command line's end, which also comes with the container's.
 */
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import { abortable, deadline } from '../../common/deadline.ts';
import type { Command } from '../../scripts/command.ts';
import { OwnedProcess } from './owned-process.ts';

const answerMs = 120_000;

export class AttachedContainer implements AsyncDisposable {
  readonly #process: OwnedProcess;
  readonly #news = new EventEmitter();
  readonly #lines: string[] = [];

  /** @param command `docker run`, or another that attaches */
  constructor(command: Command) {
    this.#process = new OwnedProcess(command);
    createInterface({ input: this.#process.output }).on('line', (line) => {
      this.#lines.push(line);
      this.#news.emit('line');
    });
  }

  /** What it has written so far. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Resolves when it has written so many lines more than now. */
  async more(count: number): Promise<void> {
    const wanted = this.#lines.length + count;
    using limit = deadline(answerMs, `${count} lines of a container`);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const look = (): void => {
      if (this.#lines.length >= wanted) resolve(undefined);
    };
    void this.#process.ended.then(() => {
      reject(new Error(`docker has ended: ${this.#process.complaints}${this.#lines.join('\n')}`));
    });
    this.#news.on('line', look);
    try {
      await abortable(promise, limit.signal);
    } finally {
      this.#news.off('line', look);
    }
  }

  /** Ends the command line only; the container is its daemon's. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
