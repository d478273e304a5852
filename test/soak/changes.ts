/**
 * The requests that change something, and what the model makes of their answers. Invariant: when one of these returns,
 * the model knows its outcome or has marked it as unknown; an answer that the model does not allow is a Violation.
 */
import { pause } from '../../common/deadline.ts';
import { Asking, countUnknown, retryMs, type Verdict, wrong } from './asking.ts';
import { Violation } from './history.ts';
import {
  addReference,
  beginChange,
  countOfId,
  endChange,
  isContended,
  isOnlyCarried,
  made,
  type ModelVolume,
  renewReference,
  takeReference,
} from './model.ts';
import type { Answer, PluginDoor } from './plugin-door.ts';
import { mountpointOf, type Scene } from './scene.ts';
import type { Options, Step } from './step.ts';
import { type Meaning, meaningOf, textOf } from './verdict.ts';

type On<K extends Step['kind']> = Extract<Step, { readonly kind: K }>;

export class Changes {
  readonly #scene: Scene;
  readonly #door: PluginDoor;
  readonly #who: string;
  readonly #asking: Asking;

  constructor(scene: Scene, door: PluginDoor, who: string) {
    this.#scene = scene;
    this.#door = door;
    this.#who = who;
    this.#asking = new Asking(scene, door, who);
  }

  async create({ volume: id, asked, options }: On<'create'>): Promise<void> {
    const volume = this.#scene.model.of(id);
    const source = this.#sourceOf(options);
    const before = volume.presence;
    beginChange(volume);
    const { epoch } = volume;
    const mayBeHeld = source !== undefined && (source.isUnsettled || source.isOnItsWayOut);
    const allowed = allowedOfCreate(volume, options, source);
    const judge = (found: Meaning): Verdict => {
      if (allowed.includes(found)) return 'take';
      return found === 'down' || (found === 'in use' && mayBeHeld) ? 'again' : 'refuse';
    };
    const { meaning } = await this.#asking.certain('Create', volume, { Name: asked, Opts: options }, judge, source);
    // A volume that differs is one that is there.
    const isThere = meaning === 'ok' || meaning === 'differs';
    if (meaning === 'ok' && before !== 'there') made(volume, options, asked, source);
    endChange(volume, epoch, isThere ? 'there' : before);
  }

  /** It asks for none that has only references of an earlier life: those the plugin gives up, as nobody holds them. */
  async remove({ volume: id, asked }: On<'remove'>): Promise<void> {
    const volume = this.#scene.model.of(id);
    const began = performance.now();
    const isHeld = volume.references.length > 0;
    const mayRob = (): boolean => isOnlyCarried(volume, this.#scene.lives.number);
    if (mayRob()) return;
    beginChange(volume);
    const { epoch } = volume;
    const { meaning, life } = await this.#asking.certain('Remove', volume, { Name: asked }, (found) => {
      if (found === 'down') return isHeld || mayRob() ? 'take' : 'again';
      if (isContended(volume)) return found === 'ok' || found === 'in use' ? 'take' : 'refuse';
      if (isHeld) return found === 'in use' ? 'take' : 'refuse';
      if (found === 'in use' && volume.isUnsettled) return 'again';
      return found === 'ok' ? 'take' : 'refuse';
    });
    const robbed = volume.references.find((one) => one.since < began && one.life === life);
    if (meaning === 'ok' && robbed)
      throw new Violation(id.full, `${id.full} was removed while ${robbed.id} had it mounted`);
    if (meaning === 'ok') volume.references = volume.references.filter((one) => one.life === life);
    const isUnknown = isContended(volume) && meaning === 'down';
    endChange(volume, epoch, meaning === 'ok' ? 'gone' : isUnknown ? 'unknown' : 'there');
  }

  /** @returns whether there is one reference more now */
  async mount({ volume: id, asked, id: mountId }: On<'mount'>): Promise<boolean> {
    const volume = this.#scene.model.of(id);
    const before = countOfId(volume, mountId);
    const allowed = allowedOfMount(volume);
    const { epoch } = volume;
    const judge = (found: Meaning): Verdict => {
      const isCertain = !isContended(volume) || volume.epoch === epoch;
      return found === 'down' || (isCertain ? allowed : anyOfMount).includes(found) ? 'take' : 'refuse';
    };
    for (;;) {
      const body = { Name: asked, ID: mountId };
      const { answer, meaning, life } = await this.#asking.certain('Mount', volume, body, judge);
      if (meaning === 'ok') this.#mounted(volume, mountId, answer, life);
      if (meaning !== 'down') return countOfId(volume, mountId) > before;
      await this.#sureMount(volume, mountId, life);
      await pause(retryMs, this.#scene.signal);
    }
  }

  async unmount({ volume: id, asked, id: mountId }: Pick<On<'unmount'>, 'volume' | 'asked' | 'id'>): Promise<void> {
    const volume = this.#scene.model.of(id);
    const wasMounted = takeReference(volume, mountId, this.#scene.lives.number);
    const left = countOfId(volume, mountId);
    const answer = await this.#asking.once('Unmount', volume, { Name: asked, ID: mountId });
    const meaning = meaningOf(answer);
    if (meaning === 'ok') return;
    if (meaning !== 'unsure' && meaning !== 'down') throw wrong(volume, 'Unmount', answer, volume);
    countUnknown(this.#scene.history, meaning);
    volume.isOnItsWayOut = true;
    if (wasMounted) await this.#sureUnmount(volume, asked, mountId, left);
  }

  /** @returns whether it hung up before the answer */
  async hangUp(step: On<'hang up'>): Promise<boolean> {
    const { volume: id, asked, id: mountId, afterMs } = step;
    const volume = this.#scene.model.of(id);
    volume.isUnsettled = true;
    const { epoch } = volume;
    const allowed = allowedOfMount(volume);
    const life = this.#scene.lives.number;
    const answer = await this.#door.hangUp('Mount', { Name: asked, ID: mountId }, afterMs);
    const said = answer === undefined ? `hung up after ${afterMs} ms` : textOf(answer);
    this.#scene.history.note(id.full, this.#who, `Mount ${mountId.slice(0, 8)} of ${asked}, to hang up: ${said}`);
    if (answer === undefined || answer.kind === 'down') {
      volume.abandoned.set(mountId, life);
      return answer === undefined;
    }
    const meaning = meaningOf(answer);
    const isCertain = !isContended(volume) || volume.epoch === epoch;
    const isAllowed = meaning === 'unsure' || (isCertain ? allowed : anyOfMount).includes(meaning);
    if (!isAllowed) throw wrong(volume, 'Mount', answer, volume);
    if (meaning !== 'ok') return false;
    this.#mounted(volume, mountId, answer, life);
    await this.unmount({ volume: id, asked, id: mountId });
    return false;
  }

  #mounted(volume: ModelVolume, mountId: string, answer: Answer, life: number): void {
    renewReference(volume, mountId, life);
    if (isContended(volume) && volume.changing === 0) volume.presence = 'there';
    const path = answer.kind === 'ok' ? answer.body['Mountpoint'] : undefined;
    const right = mountpointOf(this.#scene, volume.id);
    if (path === right) return;
    throw new Violation(volume.id.full, `${volume.id.full} is mounted at ${JSON.stringify(path)}, not at ${right}`);
  }

  /** Nobody heard whether the killed plugin had recorded that Mount: the next one knows. */
  async #sureMount(volume: ModelVolume, mountId: string, life: number): Promise<void> {
    const before = countOfId(volume, mountId);
    const now = await this.#asking.countOf(volume, mountId);
    if (now === before + 1) addReference(volume, mountId, life);
    // Those of contended ones anybody may take away with the volume, once they are only carried over.
    else if (now !== before && !isContended(volume)) throw miscounted(volume, 'a Mount', mountId, now, before);
  }

  /** Nobody knows whether that Unmount counted: the plugin's own account does, and it must be one of two. */
  async #sureUnmount(volume: ModelVolume, asked: string, mountId: string, left: number): Promise<void> {
    for (;;) {
      const now = await this.#asking.countOf(volume, mountId);
      if (now === left) return;
      if (now !== left + 1) throw miscounted(volume, 'an Unmount', mountId, now, left);
      const answer = await this.#asking.once('Unmount', volume, { Name: asked, ID: mountId });
      if (meaningOf(answer) === 'ok') return;
      await pause(retryMs, this.#scene.signal);
    }
  }

  #sourceOf(options: Options): ModelVolume | undefined {
    const name = options['clone-from'];
    if (name === undefined) return undefined;
    return this.#scene.model.volumes.get(name.includes('@') ? name : `${name}@fast`);
  }
}

function miscounted({ id }: ModelVolume, what: string, mountId: string, now: number, least: number): Violation {
  const text = `${what} in doubt left ${now} references of ${mountId} to ${id.full}; right are ${least} or ${least + 1}`;
  return new Violation(id.full, text);
}

const anyOfMount: readonly Meaning[] = ['ok', 'not there'];

function allowedOfMount(volume: ModelVolume): readonly Meaning[] {
  const { presence, changing } = volume;
  if (presence === 'unknown' || (isContended(volume) && changing > 0)) return anyOfMount;
  return [presence === 'there' ? 'ok' : 'not there'];
}

function allowedOfCreate(volume: ModelVolume, options: Options, source: ModelVolume | undefined): readonly Meaning[] {
  if (isContended(volume)) return ['ok'];
  if (volume.presence === 'there') return [isSame(volume.options, options) ? 'ok' : 'differs'];
  if (!source) return ['ok'];
  if (source.presence === 'gone') return ['not there'];
  return [source.references.length > 0 ? 'in use' : 'ok'];
}

function isSame(one: Options, other: Options): boolean {
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...keys].every((key) => one[key] === other[key]);
}
