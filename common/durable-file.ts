/**
 * Small files in one folder, changed so that a crash leaves the old or the new state and at most a file under a name
 * that says it was work in progress. Invariants: what got its name was on the disk before, and a name never replaces
 * another unless `replace` was asked for. A change has happened for good when the `sync` that follows it returns.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, link, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from './fault.ts';

const fileMode = 0o600;

export class DurableFolder implements AsyncDisposable {
  readonly path: string;
  readonly #handle: FileHandle;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  static async open(path: string): Promise<DurableFolder> {
    return new DurableFolder(path, await open(path, 'r'));
  }

  pathOf(file: string): string {
    return join(this.path, file);
  }

  /** A new name for work in progress. */
  newAside(): string {
    return `.${randomUUID()}.tmp`;
  }

  /** Makes a new file aside, lets `fill` write it, and puts it on the disk; on failure it is gone. */
  async writeAside(aside: string, fill: (file: FileHandle) => Promise<unknown>): Promise<void> {
    const handle = await open(this.pathOf(aside), 'wx', fileMode);
    try {
      await fill(handle);
      await handle.sync();
      await handle.close();
    } catch (error) {
      await handle.close().catch(() => undefined);
      await this.remove(aside).catch(() => undefined);
      throw error;
    }
  }

  /** Gives a file made aside its name; fails with EEXIST when that is taken. The name aside stays until removed. */
  async publish(aside: string, file: string): Promise<void> {
    await link(this.pathOf(aside), this.pathOf(file));
  }

  /** Gives a file its name, in place of whatever had it. */
  async rename(from: string, to: string): Promise<void> {
    await rename(this.pathOf(from), this.pathOf(to));
  }

  /** Replaces a file's whole content, for good. */
  async replace(file: string, text: string): Promise<void> {
    const aside = this.newAside();
    await this.writeAside(aside, (handle) => handle.writeFile(text));
    try {
      await this.rename(aside, file);
    } catch (error) {
      await this.remove(aside).catch(() => undefined);
      throw error;
    }
    await this.sync();
  }

  /** What is not there is removed already. */
  async remove(file: string): Promise<void> {
    try {
      await unlink(this.pathOf(file));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }

  /** Puts all earlier changes of names on the disk. Calls that wait at the same time share one flush. */
  sync(): Promise<void> {
    // The flush under way may have begun before the caller's change, so only the next one counts.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const flush = this.#handle.sync();
      this.#running = flush.catch(() => undefined);
      return flush;
    });
    return this.#next;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running;
    await this.#handle.close();
  }
}
