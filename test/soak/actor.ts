/**
 * One client of a storm: takes its steps one after another. Invariant: it never unmounts what another mounted, and
 * reads and writes a volume only while it has it mounted itself.
 */
import { errnoOf } from '../../common/fault.ts';
import { askBadly } from './bad-requests.ts';
import { Changes } from './changes.ts';
import { fileOf, readData, writeData } from './data-files.ts';
import { Violation } from './history.ts';
import type { FileRecord, ModelVolume } from './model.ts';
import { PluginDoor } from './plugin-door.ts';
import { Reads } from './reads.ts';
import type { VolumeId } from './roster.ts';
import { folderOf, type Scene } from './scene.ts';
import { describeStep, type Step } from './step.ts';

export class Actor implements Disposable {
  readonly name: string;
  readonly #scene: Scene;
  readonly #own: readonly VolumeId[];
  readonly #door: PluginDoor;
  readonly #changes: Changes;
  readonly #reads: Reads;
  /** What this client has mounted: IDs by full name. */
  readonly #mounted = new Map<string, string[]>();

  constructor(scene: Scene, name: string, own: readonly VolumeId[]) {
    this.name = name;
    this.#scene = scene;
    this.#own = own;
    this.#door = new PluginDoor(scene.pluginSocket, scene.signal, scene.lives);
    this.#changes = new Changes(scene, this.#door, name);
    this.#reads = new Reads(scene, this.#door);
  }

  /** @throws Violation that names the step */
  async take(step: Step): Promise<void> {
    this.#scene.history.count(step.kind);
    try {
      await this.#take(step);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      const volume = error.volume ?? ('volume' in step ? step.volume.full : undefined);
      throw new Violation(volume, `${error.message}\n  (${this.name}: ${describeStep(step)})`);
    }
  }

  /** Gives everything back: mounts first, then its own volumes. */
  async leave(): Promise<void> {
    const { model } = this.#scene;
    for (const [full, ids] of this.#mounted) {
      const { id: volume } = model.volumes.get(full) ?? {};
      for (const id of volume ? [...ids] : [])
        if (volume) await this.take({ kind: 'unmount', volume, asked: full, id });
    }
    for (const volume of this.#own) {
      if (model.of(volume).presence !== 'there') continue;
      if (this.#scene.lives.number > 0) await this.lookInto(volume);
      await this.take({ kind: 'remove', volume, asked: volume.full });
    }
  }

  /** Everything that was ever written to it must be there. */
  async lookInto(volume: VolumeId): Promise<void> {
    const at = { volume, asked: volume.full };
    const id = `${this.name} looks into ${volume.full}`;
    await this.take({ kind: 'mount', ...at, id });
    await this.take({ kind: 'verify', ...at });
    await this.take({ kind: 'unmount', ...at, id });
  }

  /** Ends its connection; the next step opens another. */
  rest(): void {
    this.#door[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.rest();
  }

  async #take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'create':
        return this.#changes.create(step);
      case 'remove':
        return this.#changes.remove(step);
      case 'mount':
        if (await this.#changes.mount(step)) this.#idsOn(step.volume).push(step.id);
        return;
      case 'unmount':
        return this.#unmount(step);
      case 'hang up':
        if (await this.#changes.hangUp(step)) this.#scene.history.count('hung up in time');
        return;
      case 'write':
        return this.#write(step.volume, step.bytes);
      case 'verify':
        return this.#verify(step.volume);
      case 'get':
        return this.#reads.get(step.volume, step.asked, this.#idsOn(step.volume).length);
      case 'path':
        return this.#reads.path(step.volume, step.asked, this.#idsOn(step.volume).length);
      case 'list':
        return this.#reads.list(this.#own);
      case 'bad':
        return askBadly(this.#door, step.which);
    }
  }

  async #unmount(step: Extract<Step, { readonly id: string }>): Promise<void> {
    const ids = this.#idsOn(step.volume);
    const place = ids.indexOf(step.id);
    if (place !== -1) ids.splice(place, 1);
    await this.#changes.unmount(step);
  }

  async #write(id: VolumeId, bytes: number): Promise<void> {
    if (this.#idsOn(id).length === 0) return;
    const volume = this.#scene.model.of(id);
    const sequence = Math.max(volume.begun.get(this.name) ?? 0, volume.files.get(fileOf(this.name))?.sequence ?? 0) + 1;
    volume.begun.set(this.name, sequence);
    const about = { volume: id.full, writer: this.name, sequence };
    const isReadOnly = volume.options['access'] === 'read-only';
    try {
      const record = await writeData(folderOf(this.#scene, id), about, bytes);
      if (isReadOnly) throw new Violation(id.full, `${id.full} is read-only and was written to`);
      volume.files.set(fileOf(this.name), record);
      this.#note(id, `wrote ${sequence}`);
    } catch (error) {
      if (isReadOnly && errnoOf(error) === 'EROFS') return;
      if (errnoOf(error) === undefined) throw error;
      throw new Violation(id.full, `${id.full} is mounted and cannot be written to: ${String(error)}`);
    }
  }

  async #verify(id: VolumeId): Promise<void> {
    if (this.#idsOn(id).length === 0) return;
    const volume = this.#scene.model.of(id);
    if (id.role === 'contended') return;
    const before = new Map(volume.files);
    const found = await this.#read(id);
    this.#note(id, `verified ${found.size} files`);
    this.#scene.history.count('files verified', found.size);
    compare(volume, found, before);
  }

  async #read(id: VolumeId): Promise<ReadonlyMap<string, FileRecord>> {
    try {
      return await readData(folderOf(this.#scene, id), id.full);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      throw new Violation(id.full, `${id.full} is mounted and cannot be read: ${String(error)}`);
    }
  }

  #idsOn({ full }: VolumeId): string[] {
    const ids = this.#mounted.get(full) ?? [];
    this.#mounted.set(full, ids);
    return ids;
  }

  #note(id: VolumeId, text: string): void {
    this.#scene.history.note(id.full, this.name, text);
  }
}

/** Others may write meanwhile: what is found lies between what was there before and what was begun by now. */
function compare(
  volume: ModelVolume,
  found: ReadonlyMap<string, FileRecord>,
  before: ReadonlyMap<string, FileRecord>,
): void {
  const { full } = volume.id;
  for (const [name, record] of before) {
    const has = found.get(name);
    if (!has) throw new Violation(full, `${full} lost the file ${name} (${JSON.stringify(record)})`);
    const isOlder = has.volume !== record.volume ? has.volume !== full : has.sequence < record.sequence;
    const isOther = has.sequence === record.sequence && has.sha256 !== record.sha256;
    if (isOlder || isOther)
      throw new Violation(full, `${full} has ${JSON.stringify(has)}, not ${JSON.stringify(record)}`);
  }
  for (const [name, record] of found) {
    if (before.has(name) && before.get(name)?.sha256 === record.sha256) continue;
    const isBegun = record.volume === full && record.sequence <= (volume.begun.get(record.writer) ?? 0);
    if (!isBegun)
      throw new Violation(full, `${full} has a file that was never written to it: ${JSON.stringify(record)}`);
  }
}
