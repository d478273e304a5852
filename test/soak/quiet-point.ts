/**
 * The moment in which nothing is asked and the model must be true on every side. Background work may still be at its
 * end, so it asks until all is equal or the time is over. Invariant: it returns only when no side differed in one and
 * the same look; from then on the model knows everything.
 */
import { deadline, pause } from '../../common/deadline.ts';
import type { Surroundings } from './bed.ts';
import { crossed, orphaned, undoMs } from './asking.ts';
import { type Difference, differences } from './differences.ts';
import { Violation } from './history.ts';
import { idsOf, type Model } from './model.ts';
import { PluginDoor } from './plugin-door.ts';
import type { ProcessState, Program } from './program.ts';
import { observe, type Reality } from './reality.ts';
import { anonymousId, type Scene } from './scene.ts';
import { textOf } from './verdict.ts';

/** The longest that the plugin may take to finish what it does in the background, with a service that it must find again. */
const settleMs = 90_000;
const lookMs = 100;
const shrinkMs = 30_000;
const shownDifferences = 12;
/** Of all Mounts given up, those may be answered in that moment: the plugin could not tell. */
const crossedShare = 0.04;
const crossedAtLeast = 4;

const mostMore = { descriptors: 40, threads: 24, rssMib: 150 } as const;

type IdsKnown = 'named' | 'anonymous' | 'at least';

export class QuietPoints {
  readonly #scene: Scene;
  readonly #around: Surroundings;
  readonly #ids: IdsKnown;
  readonly #tidy: (() => Promise<void>) | undefined;
  readonly #first = new Map<string, ProcessState>();
  readonly #most = new Map<string, ProcessState>();
  #held = 0;

  /**
   * @param ids anonymous when dockerd chooses them: then only their number is known; at least as many when dockerd or the
   * plugin is killed: what is then never unmounted counts until nobody uses the volume any more
   * @param tidy what others than the product must do before it can come to rest; called with each look
   */
  constructor(scene: Scene, around: Surroundings, ids: IdsKnown, tidy?: () => Promise<void>) {
    this.#tidy = tidy;
    this.#scene = scene;
    this.#ids = ids;
    this.#around = around;
  }

  /** The largest of each that was seen, by program. */
  get most(): ReadonlyMap<string, ProcessState> {
    return this.#most;
  }

  /**
   * @param isWarm whether all clients are there: from then on the programs may not grow
   * @throws Violation with all that differs
   */
  async check(isWarm: boolean): Promise<void> {
    const began = performance.now();
    using limit = deadline(settleMs, 'coming to rest', this.#scene.signal);
    using door = new PluginDoor(this.#around.pluginSocket, this.#scene.signal, this.#scene.lives);
    for (;;) {
      const reality = await this.#look(door);
      const found = reality && this.#differences(reality);
      if (reality && found?.length === 0) {
        this.#accept(reality);
        break;
      }
      if (reality) await this.#undoCrossed(reality, door, performance.now() - began > undoMs);
      await this.#tidy?.();
      await pause(lookMs, limit.signal).catch(() => {
        this.#scene.signal.throwIfAborted();
        throw violationOf(found ?? [{ volume: undefined, text: 'what is on disk never stood still' }]);
      });
    }
    const { history } = this.#scene;
    history.count('quiet points');
    history.took('coming to rest', performance.now() - began);
    if (!isWarm) return;
    for (const program of [this.#around.plugin, this.#around.service]) await this.#checkSize(program);
  }

  /** Undefined when a file was replaced while it was read. */
  async #look(door: PluginDoor): Promise<Reality | undefined> {
    const list = async (): Promise<unknown> => {
      const answer = await door.verb('List', {});
      if (answer.kind !== 'ok') throw new Violation(undefined, `List was answered "${textOf(answer)}"`);
      return answer.body;
    };
    try {
      const reality = await observe(this.#around, list);
      if (this.#ids === 'named') return reality;
      return withoutIds(reality, this.#ids === 'at least' ? this.#scene.model : undefined);
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  #differences(reality: Reality): readonly Difference[] {
    const { model, lives, mountRoot } = this.#scene;
    return differences({ model, life: lives.number, reality, folder: this.#around.places.folder, mountRoot });
  }

  #accept(reality: Reality): void {
    for (const volume of this.#scene.model.volumes.values()) {
      if (volume.presence === 'unknown') volume.presence = reality.volumes.has(volume.id.full) ? 'there' : 'gone';
      volume.isUnsettled = false;
      volume.isOnItsWayOut = false;
      const { isFormatted, isFreshClone } = reality.metadata.get(volume.id.full) ?? {};
      volume.isKnownReady ||= isFormatted === true && isFreshClone === false;
      volume.abandoned.clear();
    }
    this.#held = reality.backingFiles.length;
  }

  /**
   * The plugin wrote those answers before it could know that nobody reads them, or it was killed before it took the
   * Mount back; dockerd would never unmount them.
   * @param isLate whether a plugin that was not killed has had its time
   */
  async #undoCrossed(reality: Reality, door: PluginDoor, isLate: boolean): Promise<void> {
    const { model, history, lives } = this.#scene;
    for (const { volume: full, references } of reality.health.mounted) {
      const volume = model.volumes.get(full);
      if (!volume) continue;
      const right = new Set(idsOf(volume));
      for (const id of references.filter((one) => !right.has(one))) {
        const life = volume.abandoned.get(id);
        if (life === undefined || (life === lives.number && !isLate)) continue;
        volume.abandoned.delete(id);
        history.note(full, 'quiet', `Unmount ${id.slice(0, 8)}, whose Mount was answered as its client hung up`);
        history.count(life === lives.number ? crossed : orphaned);
        await door.verb('Unmount', { Name: full, ID: id });
      }
    }
    const [some, all] = [history.counted(crossed), history.counted('hung up in time')];
    if (some <= Math.max(crossedAtLeast, all * crossedShare)) return;
    throw new Violation(undefined, `${some} of ${all} Mounts whose clients hung up were not taken back`);
  }

  /** Once warm a program may not grow, but by what it gives back when it hears that its clients have hung up. */
  async #checkSize(program: Program): Promise<void> {
    using limit = deadline(shrinkMs, `the size of ${program.name}`, this.#scene.signal);
    let now = await program.state();
    const first = this.#first.get(program.name) ?? now;
    this.#first.set(program.name, first);
    for (let key = grownIn(now, first); key; key = grownIn(now, first)) {
      const text = `${program.name} grew from ${first[key]} to ${now[key]} ${key}, with ${this.#held} disks attached`;
      await pause(lookMs, limit.signal).catch(() => {
        this.#scene.signal.throwIfAborted();
        throw new Violation(undefined, text);
      });
      now = await program.state();
    }
    const most = this.#most.get(program.name) ?? now;
    this.#most.set(program.name, {
      descriptors: Math.max(most.descriptors, now.descriptors),
      threads: Math.max(most.threads, now.threads),
      rssMib: Math.max(most.rssMib, now.rssMib),
    });
  }
}

function grownIn(now: ProcessState, first: ProcessState): keyof typeof mostMore | undefined {
  return (['descriptors', 'threads', 'rssMib'] as const).find((key) => now[key] > first[key] + mostMore[key]);
}

/** @param model of volumes that it knows to be used, no more are told than it has */
function withoutIds(reality: Reality, model: Model | undefined): Reality {
  const anonymous = (name: string, ids: readonly string[]): string[] => {
    const known = model?.volumes.get(name)?.references.length ?? 0;
    return ids.slice(0, known === 0 ? ids.length : known).map(() => anonymousId);
  };
  const mounted = reality.health.mounted.map((one) => ({ ...one, references: anonymous(one.volume, one.references) }));
  const recorded = new Map([...reality.recorded].map(([name, ids]) => [name, anonymous(name, ids)]));
  return { ...reality, recorded, health: { ...reality.health, mounted } };
}

function violationOf(found: readonly Difference[]): Violation {
  const shown = found.slice(0, shownDifferences).map(({ text }) => `\n  ${text}`);
  const more = found.length > shown.length ? `\n  and ${found.length - shown.length} more` : '';
  const volume = found.find((one) => one.volume !== undefined)?.volume;
  return new Violation(volume, `a quiet point differs from the model:${shown.join('')}${more}`);
}
