/** The requests that change nothing: each answer is held against what the model knows for sure. */
import { Violation } from './history.ts';
import { isContended, type ModelVolume } from './model.ts';
import type { Answer, PluginDoor } from './plugin-door.ts';
import { defaultDatastore, type VolumeId } from './roster.ts';
import { mountpointOf, type Scene } from './scene.ts';
import { meaningOf, textOf } from './verdict.ts';

export class Reads {
  readonly #scene: Scene;
  readonly #door: PluginDoor;

  constructor(scene: Scene, door: PluginDoor) {
    this.#scene = scene;
    this.#door = door;
  }

  async get(id: VolumeId, asked: string, own: number): Promise<void> {
    const volume = this.#scene.model.of(id);
    const { epoch } = volume;
    const answer = await this.#ask('Get', { Name: asked });
    // A change that began earlier may have happened and not been heard of.
    const isChanging = volume.epoch !== epoch || volume.changing > 0;
    if (isContended(volume) && (isChanging || volume.presence === 'unknown')) return;
    if (answer.kind === 'down') return;
    const meaning = meaningOf(answer);
    const right = volume.presence === 'there' ? 'ok' : 'not there';
    if (meaning !== right || answer.kind !== 'ok') {
      if (meaning !== right) throw wrong(volume, 'Get', answer);
      return;
    }
    const { Name, Mountpoint, Status } = answer.body['Volume'] as {
      Name: string;
      Mountpoint?: string;
      Status: Readonly<Record<string, unknown>>;
    };
    this.#same(volume, 'the name that Get tells', Name, asked);
    if (own > 0) this.#same(volume, 'the mount point that Get tells', Mountpoint, mountpointOf(this.#scene, id));
    if (id.role !== 'private' || volume.isUnsettled) return;
    this.#same(volume, 'the references that Get tells', Status['references'], own);
    if (own === 0 && !this.#mayLinger()) this.#same(volume, 'the mount point that Get tells', Mountpoint, '');
    this.#same(volume, 'the clone-from that Get tells', Status['clone-from'], volume.clonedFrom ?? 'None');
  }

  async path(id: VolumeId, asked: string, own: number): Promise<void> {
    const volume = this.#scene.model.of(id);
    const answer = await this.#ask('Path', { Name: asked });
    if (answer.kind === 'down') return;
    if (answer.kind !== 'ok') throw wrong(volume, 'Path', answer);
    const right = mountpointOf(this.#scene, id);
    if (own > 0) this.#same(volume, 'the path', answer.body['Mountpoint'], right);
    else if (id.role === 'private' && !volume.isUnsettled && !this.#mayLinger())
      this.#same(volume, 'the path', answer.body['Mountpoint'], '');
  }

  /** @param own volumes that only the asker changes */
  async list(own: readonly VolumeId[]): Promise<void> {
    const answer = await this.#ask('List', {});
    if (answer.kind === 'down') return;
    if (answer.kind !== 'ok') throw new Violation(undefined, `List was answered "${textOf(answer)}"`);
    const listed = new Set((answer.body['Volumes'] as { Name: string }[]).map(({ Name }) => Name));
    const { model } = this.#scene;
    const lasting = [...model.volumes.values()].filter(({ id }) => id.role === 'shared' || id.role === 'golden');
    for (const volume of [...own.map((id) => model.of(id)), ...lasting]) {
      const name = listedNameOf(volume);
      if (listed.has(name) === (volume.presence === 'there')) continue;
      throw new Violation(
        volume.id.full,
        `List ${listed.has(name) ? 'has' : 'lacks'} ${name}, which is ${volume.presence}`,
      );
    }
  }

  async #ask(verb: string, body: Readonly<Record<string, unknown>>): Promise<Answer> {
    const since = performance.now();
    const answer = await this.#door.verb(verb, body);
    this.#scene.history.took(verb, performance.now() - since);
    return answer;
  }

  /** After a kill, work of recovery may be in the queue before the unmount of what nobody references any more. */
  #mayLinger(): boolean {
    return this.#scene.lives.number > 0;
  }

  #same({ id }: ModelVolume, what: string, found: unknown, right: unknown): void {
    if (found === right) return;
    throw new Violation(id.full, `${id.full}: ${what} is ${JSON.stringify(found)}, not ${JSON.stringify(right)}`);
  }
}

export function listedNameOf({ id, isNamedInFull }: ModelVolume): string {
  return !isNamedInFull && id.datastore === defaultDatastore ? id.name : id.full;
}

function wrong({ id, presence }: ModelVolume, verb: string, answer: Answer): Violation {
  return new Violation(id.full, `${verb} of ${id.full} was answered "${textOf(answer)}", but it is ${presence}`);
}
