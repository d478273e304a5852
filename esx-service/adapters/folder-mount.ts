/**
 * A datastore's folder in use. Invariant: while anybody works in it, its handle and its lock are held, and no other
 * service has it; when it is let go, so that its file system can be unmounted, both end with the last work in it.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DurableFolder } from '../../common/durable-file.ts';
import { errnoOf } from '../../common/fault.ts';
import { lockFolder } from './folder-lock.ts';
import type { FolderPaths } from './folder-setup.ts';
import { diskIdOf } from './volume-reader.ts';

/** In the folder above the groups' ones. */
const lockFile = '.vmdkopsd.lock';

export class FolderMount {
  /** Of the folder itself: another file system at the same path has another one. */
  readonly identity: string;
  readonly #folder: DurableFolder;
  readonly #lock: Disposable;
  #users = 0;
  #isOver = false;

  private constructor(identity: string, folder: DurableFolder, lock: Disposable) {
    this.identity = identity;
    this.#folder = folder;
    this.#lock = lock;
  }

  /**
   * @param what the datastore, for the refusal of a second service
   * @throws Fault Busy when another service has the folder
   */
  static async open({ root, volumes }: FolderPaths, what: string): Promise<FolderMount> {
    const lock = await lockFolder(join(root, lockFile), what);
    try {
      return new FolderMount(await identityOf(volumes), await DurableFolder.open(volumes), lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  async use<T>(work: (folder: DurableFolder) => Promise<T>): Promise<T> {
    this.#users += 1;
    try {
      return await work(this.#folder);
    } finally {
      this.#users -= 1;
      if (this.#isOver && this.#users === 0) await this.#end();
    }
  }

  /** Ends when the last work in it has ended; may be called again. */
  async letGo(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#users === 0) await this.#end();
  }

  async #end(): Promise<void> {
    this.#lock[Symbol.dispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/**
 * Some file systems that have failed for good still show what they remember; none of them flushes it. That a write failed
 * earlier is told by one flush only, and means nothing here; one that is read-only by now can be read.
 */
export async function flushed(folder: Pick<DurableFolder, 'sync'>): Promise<void> {
  try {
    await folder.sync().catch(() => folder.sync());
  } catch (error) {
    if (errnoOf(error) !== 'EROFS') throw error;
  }
}

/** The same as long as the path leads to the same folder. */
export async function identityOf(path: string): Promise<string> {
  return diskIdOf(await stat(path));
}
