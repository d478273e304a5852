/**
 * Requests on a volume, repeated until their outcome is known. Invariant: an answer that nobody can judge is never taken
 * for one: it is asked again, or the plugin's own account is.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { type History, Violation } from './history.ts';
import type { ModelVolume } from './model.ts';
import type { Answer, PluginDoor } from './plugin-door.ts';
import type { Scene } from './scene.ts';
import { type Meaning, meaningOf, textOf } from './verdict.ts';

/** A change whose outcome stays unknown for so long is a violation of its own. */
const settleMs = 150_000;
export const retryMs = 100;
/** A Mount given up is undone within this, or it was answered in the very moment of the hang-up. */
export const undoMs = 8000;
export const crossed = 'answered as the client hung up';
export const orphaned = 'recorded as the plugin was killed, and their clients hung up';

export type Body = Readonly<Record<string, unknown>>;
export type Verdict = 'take' | 'again' | 'refuse';

export interface Certain {
  readonly answer: Answer;
  readonly meaning: Meaning;
  /** The plugin's life in which it was asked for. */
  readonly life: number;
}

const countedAs: Readonly<Partial<Record<Meaning, string>>> = {
  unsure: 'unsure answers',
  down: 'answers that a kill took',
};

export function countUnknown(history: History, meaning: Meaning): void {
  history.count(countedAs[meaning] ?? 'answers that a Mount given up explains');
}

export class Asking {
  readonly #scene: Scene;
  readonly #door: PluginDoor;
  readonly #who: string;

  constructor(scene: Scene, door: PluginDoor, who: string) {
    this.#scene = scene;
    this.#door = door;
    this.#who = who;
  }

  /** Repeats the request until its answer is one that the judge takes. */
  async certain(
    verb: string,
    volume: ModelVolume,
    body: Body,
    judge: (meaning: Meaning) => Verdict,
    suspect = volume,
  ): Promise<Certain> {
    const { history, lives, signal } = this.#scene;
    using limit = deadline(settleMs, `${verb} of ${volume.id.full}`, signal);
    const since = performance.now();
    for (;;) {
      const life = lives.number;
      const answer = await this.once(verb, volume, body);
      const meaning = meaningOf(answer);
      const verdict = meaning === 'unsure' ? 'again' : judge(meaning);
      if (meaning === 'down') countUnknown(history, meaning);
      if (verdict === 'take') return { answer, meaning, life };
      if (verdict === 'refuse') throw wrong(volume, verb, answer, suspect);
      if (meaning !== 'down') countUnknown(history, meaning);
      if (meaning === 'in use') await this.#undoCrossed(suspect, performance.now() - since > undoMs);
      await pause(retryMs, limit.signal).catch(() => {
        signal.throwIfAborted();
        throw wrong(volume, verb, answer, suspect);
      });
    }
  }

  async once(verb: string, volume: ModelVolume, body: Body): Promise<Answer> {
    const { history } = this.#scene;
    const since = performance.now();
    const answer = await this.#door.verb(verb, body);
    const ms = performance.now() - since;
    history.took(verb, ms);
    const id = typeof body['ID'] === 'string' ? ` ${body['ID'].slice(0, 8)}` : '';
    const options = body['Opts'] === undefined ? '' : ` ${JSON.stringify(body['Opts'])}`;
    const what = `${verb}${id} of ${String(body['Name'])}${options}`;
    history.note(volume.id.full, this.#who, `${what}: ${textOf(answer)} (${ms.toFixed(0)} ms)`);
    return answer;
  }

  /** How many references of this ID the plugin tells, for which it must be there. */
  async countOf({ id }: ModelVolume, mountId: string): Promise<number> {
    using limit = deadline(settleMs, `asking for the references to ${id.full}`, this.#scene.signal);
    let answer = await this.#door.send('GET', '/health', '');
    while (answer.kind === 'down') {
      await pause(retryMs, limit.signal);
      answer = await this.#door.send('GET', '/health', '');
    }
    const text =
      answer.kind === 'ok' ? JSON.stringify(answer.body) : answer.kind === 'refused' ? answer.sentence : '{}';
    const { mounted = [] } = JSON.parse(text) as { mounted?: { volume: string; references: string[] }[] };
    return mounted.find(({ volume }) => volume === id.full)?.references.filter((one) => one === mountId).length ?? 0;
  }

  /**
   * The plugin answered those Mounts in the very moment of the hang-up, or was killed before it took them back; dockerd
   * would never unmount them.
   * @param isLate whether a plugin that was not killed has had its time
   */
  async #undoCrossed(volume: ModelVolume, isLate: boolean): Promise<void> {
    const { history, lives } = this.#scene;
    for (const [id, life] of volume.abandoned) {
      if ((life === lives.number && !isLate) || (await this.countOf(volume, id)) === 0) continue;
      history.count(life === lives.number ? crossed : orphaned);
      await this.once('Unmount', volume, { Name: volume.id.full, ID: id });
    }
  }
}

/** @param suspect the volume whose history explains it */
export function wrong(
  { id, presence, references }: ModelVolume,
  verb: string,
  answer: Answer,
  suspect: ModelVolume,
): Violation {
  const state = `it is ${presence} with ${references.length} reference(s)`;
  return new Violation(suspect.id.full, `${verb} of ${id.full} was answered "${textOf(answer)}", but ${state}`);
}
