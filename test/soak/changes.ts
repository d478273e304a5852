/**
 * The requests that change something, and what the model makes of their answers. Invariant: when one of these returns,
 * the model knows its outcome or has marked it as unknown; an answer that the model does not allow is a Violation.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { Violation } from './history.ts';
import { addReference, beginChange, endChange, isContended, made, type ModelVolume, takeReference } from './model.ts';
import type { Answer, PluginDoor } from './plugin-door.ts';
import { mountpointOf, type Scene } from './scene.ts';
import type { Options, Step } from './step.ts';
import { type Meaning, meaningOf, textOf } from './verdict.ts';

type On<K extends Step['kind']> = Extract<Step, { readonly kind: K }>;

/** A change whose outcome stays unknown for so long is a violation of its own. */
const settleMs = 150_000;
const retryMs = 100;
/** A Mount given up is undone within this, or it was answered in the very moment of the hang-up. */
export const undoMs = 8000;
export const crossed = 'answered as the client hung up';

export class Changes {
  readonly #scene: Scene;
  readonly #door: PluginDoor;
  readonly #who: string;

  constructor(scene: Scene, door: PluginDoor, who: string) {
    this.#scene = scene;
    this.#door = door;
    this.#who = who;
  }

  async create({ volume: id, asked, options }: On<'create'>): Promise<void> {
    const volume = this.#scene.model.of(id);
    const source = this.#sourceOf(options);
    const before = volume.presence;
    beginChange(volume);
    const { epoch } = volume;
    const wasUnsettled = source?.isUnsettled ?? false;
    const allowed = allowedOfCreate(volume, options, source);
    const judge = (found: Meaning): 'take' | 'again' | 'refuse' => {
      if (allowed.includes(found)) return 'take';
      return found === 'in use' && wasUnsettled ? 'again' : 'refuse';
    };
    const body = { Name: asked, Opts: options };
    const { meaning } = await this.#certain('Create', volume, asked, body, judge, source);
    // A volume that differs is one that is there.
    const isThere = meaning === 'ok' || meaning === 'differs';
    if (meaning === 'ok' && before !== 'there') made(volume, options, asked, source);
    endChange(volume, epoch, isThere ? 'there' : before);
  }

  async remove({ volume: id, asked }: On<'remove'>): Promise<void> {
    const volume = this.#scene.model.of(id);
    const began = performance.now();
    const isHeld = volume.references.length > 0;
    beginChange(volume);
    const { epoch } = volume;
    const { meaning } = await this.#certain('Remove', volume, asked, { Name: asked }, (found) => {
      if (isContended(volume)) return found === 'ok' || found === 'in use' ? 'take' : 'refuse';
      if (isHeld) return found === 'in use' ? 'take' : 'refuse';
      if (found === 'in use' && volume.isUnsettled) return 'again';
      return found === 'ok' ? 'take' : 'refuse';
    });
    const robbed = volume.references.find(({ since }) => since < began);
    if (meaning === 'ok' && robbed)
      throw new Violation(id.full, `${id.full} was removed while ${robbed.id} had it mounted`);
    endChange(volume, epoch, meaning === 'ok' ? 'gone' : 'there');
  }

  /** @returns whether it is mounted now */
  async mount({ volume: id, asked, id: mountId }: On<'mount'>): Promise<boolean> {
    const volume = this.#scene.model.of(id);
    const allowed = allowedOfMount(volume);
    const { epoch } = volume;
    const { answer, meaning } = await this.#certain('Mount', volume, asked, { Name: asked, ID: mountId }, (found) => {
      const isCertain = !isContended(volume) || volume.epoch === epoch;
      return (isCertain ? allowed : anyOfMount).includes(found) ? 'take' : 'refuse';
    });
    if (meaning !== 'ok') return false;
    this.#mounted(volume, mountId, answer);
    return true;
  }

  async unmount({ volume: id, asked, id: mountId }: Pick<On<'unmount'>, 'volume' | 'asked' | 'id'>): Promise<void> {
    const volume = this.#scene.model.of(id);
    const wasMounted = takeReference(volume, mountId);
    const left = volume.references.filter((reference) => reference.id === mountId).length;
    const answer = await this.#ask('Unmount', volume, asked, { Name: asked, ID: mountId });
    const meaning = meaningOf(answer);
    if (meaning === 'ok') return;
    if (meaning !== 'unsure') throw this.#wrong(volume, 'Unmount', answer, volume);
    this.#scene.history.count('unsure answers');
    if (wasMounted) await this.#sureUnmount(volume, asked, mountId, left);
  }

  /** @returns whether it hung up before the answer */
  async hangUp(step: On<'hang up'>): Promise<boolean> {
    const { volume: id, asked, id: mountId, afterMs } = step;
    const volume = this.#scene.model.of(id);
    volume.isUnsettled = true;
    const { epoch } = volume;
    const allowed = allowedOfMount(volume);
    const answer = await this.#door.hangUp('Mount', { Name: asked, ID: mountId }, afterMs);
    const said = answer === undefined ? `hung up after ${afterMs} ms` : textOf(answer);
    this.#scene.history.note(id.full, this.#who, `Mount ${mountId.slice(0, 8)} of ${asked}, to hang up: ${said}`);
    if (answer === undefined) {
      volume.abandoned.add(mountId);
      return true;
    }
    const meaning = meaningOf(answer);
    const isCertain = !isContended(volume) || volume.epoch === epoch;
    const isAllowed = meaning === 'unsure' || (isCertain ? allowed : anyOfMount).includes(meaning);
    if (!isAllowed) throw this.#wrong(volume, 'Mount', answer, volume);
    if (meaning !== 'ok') return false;
    this.#mounted(volume, mountId, answer);
    await this.unmount({ volume: id, asked, id: mountId });
    return false;
  }

  #mounted(volume: ModelVolume, mountId: string, answer: Answer): void {
    addReference(volume, mountId);
    if (isContended(volume) && volume.changing === 0) volume.presence = 'there';
    const path = answer.kind === 'ok' ? answer.body['Mountpoint'] : undefined;
    const right = mountpointOf(this.#scene, volume.id);
    if (path === right) return;
    throw new Violation(volume.id.full, `${volume.id.full} is mounted at ${JSON.stringify(path)}, not at ${right}`);
  }

  /** Nobody knows whether that Unmount counted: the plugin's own account does, and it must be one of two. */
  async #sureUnmount(volume: ModelVolume, asked: string, mountId: string, left: number): Promise<void> {
    for (;;) {
      const now = await this.#countOf(volume, mountId);
      if (now === left) return;
      if (now !== left + 1) {
        const text = `an Unmount in doubt left ${now} references of ${mountId} to ${volume.id.full}; right are ${left} or ${left + 1}`;
        throw new Violation(volume.id.full, text);
      }
      if (meaningOf(await this.#ask('Unmount', volume, asked, { Name: asked, ID: mountId })) === 'ok') return;
      await pause(retryMs, this.#scene.signal);
    }
  }

  /** The plugin answered those Mounts in the very moment of the hang-up; dockerd would never unmount them. */
  async #undoCrossed(volume: ModelVolume): Promise<void> {
    for (const id of volume.abandoned) {
      if ((await this.#countOf(volume, id)) === 0) continue;
      this.#scene.history.count(crossed);
      await this.#ask('Unmount', volume, volume.id.full, { Name: volume.id.full, ID: id });
    }
  }

  async #countOf({ id }: ModelVolume, mountId: string): Promise<number> {
    const answer = await this.#door.send('GET', '/health', '');
    const text =
      answer.kind === 'ok' ? JSON.stringify(answer.body) : answer.kind === 'refused' ? answer.sentence : '{}';
    const { mounted = [] } = JSON.parse(text) as { mounted?: { volume: string; references: string[] }[] };
    return mounted.find(({ volume }) => volume === id.full)?.references.filter((one) => one === mountId).length ?? 0;
  }

  /** Repeats the request until its answer is one that the judge takes. */
  async #certain(
    verb: string,
    volume: ModelVolume,
    asked: string,
    body: Readonly<Record<string, unknown>>,
    judge: (meaning: Meaning) => 'take' | 'again' | 'refuse',
    suspect = volume,
  ): Promise<{ readonly answer: Answer; readonly meaning: Meaning }> {
    const { history, signal } = this.#scene;
    using limit = deadline(settleMs, `${verb} of ${volume.id.full}`, signal);
    const since = performance.now();
    for (;;) {
      const answer = await this.#ask(verb, volume, asked, body);
      const meaning = meaningOf(answer);
      const verdict = meaning === 'unsure' ? 'again' : judge(meaning);
      if (verdict === 'take') return { answer, meaning };
      if (verdict === 'refuse') throw this.#wrong(volume, verb, answer, suspect);
      history.count(meaning === 'unsure' ? 'unsure answers' : 'answers that a Mount given up explains');
      if (meaning === 'in use' && performance.now() - since > undoMs) await this.#undoCrossed(suspect);
      await pause(retryMs, limit.signal).catch(() => {
        signal.throwIfAborted();
        throw this.#wrong(volume, verb, answer, suspect);
      });
    }
  }

  async #ask(
    verb: string,
    volume: ModelVolume,
    asked: string,
    body: Readonly<Record<string, unknown>>,
  ): Promise<Answer> {
    const { history } = this.#scene;
    const since = performance.now();
    const answer = await this.#door.verb(verb, body);
    const ms = performance.now() - since;
    history.took(verb, ms);
    const id = typeof body['ID'] === 'string' ? ` ${body['ID'].slice(0, 8)}` : '';
    const options = body['Opts'] === undefined ? '' : ` ${JSON.stringify(body['Opts'])}`;
    history.note(
      volume.id.full,
      this.#who,
      `${verb}${id} of ${asked}${options}: ${textOf(answer)} (${ms.toFixed(0)} ms)`,
    );
    return answer;
  }

  #sourceOf(options: Options): ModelVolume | undefined {
    const name = options['clone-from'];
    if (name === undefined) return undefined;
    return this.#scene.model.volumes.get(name.includes('@') ? name : `${name}@fast`);
  }

  /** @param suspect the volume whose history explains it */
  #wrong({ id, presence, references }: ModelVolume, verb: string, answer: Answer, suspect: ModelVolume): Violation {
    const state = `it is ${presence} with ${references.length} reference(s)`;
    return new Violation(suspect.id.full, `${verb} of ${id.full} was answered "${textOf(answer)}", but ${state}`);
  }
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
