/**
 * Looks again and again for volumes that this guest holds and nobody uses: whose last reference went while the unmount
 * failed, whose Unmount never came, or which nobody took up. Invariants: a volume with references is let go only when
 * no look during the whole grace time found a user, a change of its references, a transition, or any reading or
 * writing; what proves to be used after all is mounted again.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import { mountPathOf } from '../core/mount-path.ts';
import { countOf, type References } from '../core/references.ts';
import type { Devices } from '../ports/devices.ts';
import type { DiskMounter } from './disk-mounter.ts';
import type { HeldVolume, HeldVolumes } from './held-volumes.ts';
import { letGo } from './let-go.ts';
import type { Transitions } from './transitions.ts';
import type { Usage } from './usage.ts';

export interface SweeperParts {
  readonly held: HeldVolumes;
  readonly mounter: DiskMounter;
  readonly devices: Devices;
  readonly usage: Usage;
  readonly transitions: Transitions;
  readonly logger: Logger;
  /** Volumes that are attached here, or in doubt, and not held. */
  readonly strays: () => readonly FullName[];
  /** Finds out what such a volume is, and takes it up or lets it go. */
  readonly recover: (name: FullName) => Promise<void>;
  readonly mountRoot: string;
  /** Time limit of mounting again, in milliseconds. */
  readonly mountMs: number;
  /** For how long nobody may have used a volume with references before it is let go, in milliseconds. */
  readonly graceMs: number;
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number;
}

/** A volume without a user, as it was first seen so. */
interface Unused {
  readonly sinceMs: number;
  readonly references: References;
  readonly ioCount: number;
}

/** So many looks in one grace time. */
const looks = 5;
/** For a volume's turn; whoever else waits for it uses it. */
const turnMs = 1_000;

export class Sweeper implements AsyncDisposable {
  readonly #parts: SweeperParts;
  readonly #unused = new Map<FullName, Unused>();
  readonly #closing = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  /** Looks from now on, until disposed. */
  start(): void {
    this.#loop = this.#run(this.#closing.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#loop;
  }

  /** One look at everything that is held. */
  async look(): Promise<void> {
    const { held, logger, recover, strays, transitions } = this.#parts;
    for (const name of this.#unused.keys()) if (!held.get(name)) this.#unused.delete(name);
    for (const known of [...held.values()]) {
      if (this.#closing.signal.aborted) return;
      try {
        await this.#lookAt(known);
      } catch (error) {
        this.#unused.delete(known.disk.name);
        if (faultOf(error).code === 'Busy') continue;
        logger.warn('could not find out whether a volume is used', {
          volume: known.disk.name,
          ...failureFields(error),
        });
      }
    }
    for (const name of strays()) {
      if (!transitions.isUnderWay(name) && !this.#closing.signal.aborted) await recover(name);
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await pause(this.#parts.graceMs / looks, signal).catch(() => undefined);
      if (signal.aborted) return;
      await this.look();
    }
  }

  async #lookAt({ disk: { name }, references }: HeldVolume): Promise<void> {
    const { held, transitions } = this.#parts;
    // Without references it is due at once; else only when nothing has happened since the first look.
    if (countOf(references) > 0 && !(await this.#isOverdue(name))) return;
    using limit = deadline(turnMs, `looking after ${name}`, this.#closing.signal);
    await transitions.run(name, 'sweep', limit.signal, async () => {
      const known = held.get(name);
      if (known?.references === references) await this.#sweep(known);
    });
  }

  async #isOverdue(name: FullName): Promise<boolean> {
    const { held, devices, graceMs, now, transitions, usage } = this.#parts;
    const known = held.get(name);
    if (!known) return false;
    const { disk, references } = known;
    const ioCount = devices.ioCount(disk.devicePath);
    if (transitions.isUnderWay(name) || (await usage.isUsed(disk))) {
      this.#unused.delete(name);
      return false;
    }
    const before = this.#unused.get(name);
    if (before?.references === references && before.ioCount === ioCount) return now() - before.sinceMs >= graceMs;
    this.#unused.set(name, { sinceMs: now(), references, ioCount });
    return false;
  }

  /** With the volume's turn taken: nobody mounts or unmounts it meanwhile. */
  async #sweep({ disk, references }: HeldVolume): Promise<void> {
    const { held, logger, usage } = this.#parts;
    const { name } = disk;
    this.#unused.delete(name);
    if (await usage.isUsed(disk)) return;
    held.clearReferences(name);
    try {
      await letGo(disk, this.#parts);
      logger.info('let go of a volume that nobody used', { volume: name, references: countOf(references) });
    } catch (error) {
      logger.warn('a volume that nobody seems to use cannot be let go', { volume: name, ...failureFields(error) });
      await this.#restore(name, references);
    }
  }

  /** Somebody used it after all, out of our sight. */
  async #restore(name: FullName, references: References): Promise<void> {
    const { held, mountMs, mounter, mountRoot } = this.#parts;
    if (countOf(references) === 0) return;
    using limit = deadline(mountMs, `mounting ${name} again`);
    if (held.get(name)?.disk.path === undefined)
      held.hold(await mounter.mount(name, mountPathOf(mountRoot, name), limit.signal));
    held.restoreReferences(name, references);
  }
}
