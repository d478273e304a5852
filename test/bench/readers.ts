/**
 * Clients that only ask, on a thread of their own so that what else the benchmark does never delays them. Each asks List
 * and Get in turn over its own connection, without a pause.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { abortable } from '../../common/deadline.ts';

export interface ReadTimes {
  readonly list: readonly number[];
  readonly get: readonly number[];
}

/** What the thread is given. */
export interface ReadersSetup {
  readonly socket: string;
  readonly clients: number;
  /** What Get asks for, in turn. */
  readonly names: readonly string[];
}

export class Readers implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #signal: AbortSignal;
  readonly #failed: Promise<never>;

  private constructor(worker: Worker, signal: AbortSignal) {
    this.#worker = worker;
    this.#signal = signal;
    const { promise, reject } = Promise.withResolvers<never>();
    worker.once('error', reject);
    promise.catch(() => undefined);
    this.#failed = promise;
  }

  static async open(setup: ReadersSetup, signal: AbortSignal): Promise<Readers> {
    const worker = new Worker(new URL('./readers-thread.ts', import.meta.url), { workerData: setup });
    const readers = new Readers(worker, signal);
    await readers.#next();
    return readers;
  }

  /** Asks for so long. */
  async ask(ms: number): Promise<ReadTimes> {
    this.#worker.postMessage(ms);
    return (await this.#next()) as ReadTimes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  async #next(): Promise<unknown> {
    const [message] = (await abortable(Promise.race([once(this.#worker, 'message'), this.#failed]), this.#signal)) as [
      unknown,
    ];
    return message;
  }
}
