/**
 * What failed creates could not take back, because the disk let nothing be changed any more. Invariant: a name is only
 * taken from the very file that the create gave it to, which the file's own name aside proves; by then another volume may
 * have that name.
 */
import type { DurableFolder } from '../../common/durable-file.ts';
import { diskIdOf, statusOf } from './volume-reader.ts';

interface Rest {
  readonly aside: string;
  /** The name that it got as well. */
  readonly file: string | undefined;
}

export class HalfMade {
  #rests: Rest[] = [];
  #clearing: Promise<void> = Promise.resolve();

  /** Takes a create's file away, first its name, if it has one, then its name aside; what cannot be is remembered. */
  async remove(folder: DurableFolder, aside: string, file?: string): Promise<void> {
    // Without its name aside, the file could not be told from another one of its name.
    if (file === undefined && this.#rests.some((rest) => rest.aside === aside)) {
      this.#rests.push({ aside, file });
      return;
    }
    try {
      await folder.remove(file ?? aside);
    } catch (error) {
      this.#rests.push({ aside, file });
      throw error;
    }
  }

  /** Tries once more, one call after another; fails as the disk does. */
  clear(folder: DurableFolder): Promise<void> {
    if (this.#rests.length === 0) return Promise.resolve();
    const cleared = this.#clearing.then(() => this.#clear(folder));
    this.#clearing = cleared.catch(() => undefined);
    return cleared;
  }

  async #clear(folder: DurableFolder): Promise<void> {
    for (let rest = this.#rests[0]; rest; rest = this.#rests[0]) {
      if (rest.file !== undefined && (await isSame(folder, rest.aside, rest.file))) await folder.remove(rest.file);
      if (rest.file === undefined) await folder.remove(rest.aside);
      this.#rests.shift();
    }
    await folder.sync();
  }
}

async function isSame(folder: DurableFolder, aside: string, file: string): Promise<boolean> {
  const [one, other] = await Promise.all([aside, file].map((name) => statusOf(folder.pathOf(name))));
  return one !== undefined && other !== undefined && diskIdOf(one) === diskIdOf(other);
}
