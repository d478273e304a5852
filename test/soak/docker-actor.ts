/**
 * One user of docker. Its containers check and write the files of `data-files.ts`. Invariant: the model knows of each
 * file what the container said that it wrote, and of each container which volumes it holds; a container whose start is
 * in doubt is gone before anything else is done.
 */
import { images } from '../docker/harness/images.ts';
import type { PrivateDocker } from '../docker/harness/private-docker.ts';
import { checkAndWrite, contentHash } from './container-script.ts';
import { fileOf } from './data-files.ts';
import { type DockerStep, dockerNameOf } from './docker-plan.ts';
import { DockerUser, failed, type Result } from './docker-user.ts';
import { Violation } from './history.ts';
import { Lives } from './lives.ts';
import { addReference, made, type ModelVolume, takeReference } from './model.ts';
import type { VolumeId } from './roster.ts';
import { anonymousId, type Scene } from './scene.ts';

/** What a kill left of a use that has ended is found out in time, not at once. */
const inUse = 'is mounted here by';
/** What a dockerd that was killed while it started a container says of that one ever after: containerd still knows it. */
const stuck = /task [0-9a-f]+: already exists/;

interface Held {
  readonly volumes: readonly ModelVolume[];
  /** That of the outages in which it was last seen to run. */
  life: number;
}

export class DockerActor {
  readonly #scene: Scene;
  readonly #user: DockerUser;
  readonly #outages: Lives;
  /** Its containers, by name. */
  readonly #held = new Map<string, Held>();
  #runs = 0;

  /** @param outages left out, nothing is ever killed */
  constructor(scene: Scene, docker: PrivateDocker, name: string, outages = new Lives()) {
    this.#scene = scene;
    this.#outages = outages;
    this.#user = new DockerUser(scene, docker, name, outages);
  }

  get names(): readonly string[] {
    return [...this.#held.keys()];
  }

  async take(step: DockerStep): Promise<void> {
    this.#scene.history.count(step.kind);
    switch (step.kind) {
      case 'volume create':
        return this.create(step.volume);
      case 'volume rm':
        return this.remove(step.volume);
      case 'volume inspect':
        return this.#inspect(step.volume);
      case 'volume ls':
        await this.#user.must(undefined, ['volume', 'ls', '--quiet']);
        return;
      case 'run':
        return this.#run(step.volumes, step.hasImageData);
      case 'hold':
        return this.#hold(step.volumes, step.name);
      case 'exec':
        return this.#exec(step.name);
      case 'cp':
        return this.#inHeld(step.name, ['cp', `${step.name}:/etc`, '-']);
      case 'restart':
        return this.#inHeld(step.name, ['restart', '--time', '0', step.name]);
      case 'release':
        return this.#release(step.name);
    }
  }

  async create(id: VolumeId): Promise<void> {
    const volume = this.#scene.model.of(id);
    const options = { size: '16mb' };
    await this.#user.must(volume, ['volume', 'create', '--driver', 'vmdk', '--opt', 'size=16mb', dockerNameOf(id)]);
    if (volume.presence !== 'there') made(volume, options, dockerNameOf(id), undefined);
    volume.presence = 'there';
  }

  /**
   * What a container uses, even one that is not running, dockerd does not give away.
   * @param isLast whether nothing is killed any more: else a killed dockerd may have forgotten a container that uses it
   */
  async remove(id: VolumeId, isLast = false): Promise<void> {
    const volume = this.#scene.model.of(id);
    const isHeld = volume.references.length > 0;
    let isSeenGone = volume.presence === 'gone';
    const args = ['volume', 'rm', dockerNameOf(id)];
    const isPassing = ({ stderr }: Result): boolean => this.#outages.number > 0 && !isHeld && stderr.includes(inUse);
    const isDone = (said: Result): boolean => {
      const { code: now, stderr, isInDoubt } = said;
      const isUnknown = /no such volume/i.test(stderr);
      if (!isLast && isPassing(said)) return true;
      if (isSeenGone) return now === 0 || isUnknown;
      isSeenGone = isInDoubt && !isHeld;
      return isHeld ? now !== 0 : now === 0;
    };
    const last = await this.#user.until(volume, args, isDone, isPassing);
    if (last.code === 0 && isHeld)
      throw new Violation(id.full, `${id.full} was removed; ${volume.references.length} containers have it`);
    if (!isHeld && !isPassing(last)) volume.presence = 'gone';
  }

  /** Starts what a kill ended. */
  async revive(): Promise<void> {
    for (const [name, held] of this.#held) await this.#revive(name, held);
  }

  /** Gives all containers back, then removes these volumes. */
  async leave(own: readonly VolumeId[], isLast = false): Promise<void> {
    for (const name of [...this.#held.keys()]) await this.#release(name);
    for (const id of own) if (this.#scene.model.of(id).presence === 'there') await this.remove(id, isLast);
  }

  async #inspect(id: VolumeId): Promise<void> {
    const volume = this.#scene.model.of(id);
    const args = ['volume', 'inspect', dockerNameOf(id)];
    const { presence } = volume;
    await this.#user.until(volume, args, ({ code }) => (code === 0) === (presence === 'there'));
  }

  async #run(ids: readonly VolumeId[], hasImageData: boolean): Promise<void> {
    const volumes = this.#present(ids);
    const image = hasImageData ? images.withData : images.plain;
    const name = `${this.#user.name}-run-${(this.#runs += 1)}`;
    this.#scene.history.count('containers');
    for (const volume of volumes) addReference(volume, anonymousId, 0);
    const prefix = ['run', '--rm', '--name', name, '--network', 'none', ...binds(volumes), image];
    const isCertain = await this.#write(volumes, prefix);
    if (!isCertain) await this.#user.discard(volumes[0], name);
    this.#leftBy(volumes, isCertain);
  }

  async #hold(ids: readonly VolumeId[], name: string): Promise<void> {
    const volumes = this.#present(ids);
    this.#scene.history.count('containers');
    for (const volume of volumes) addReference(volume, anonymousId, 0);
    const { number: life } = this.#outages;
    const result = await this.#user.ask(volumes[0], holding(name, volumes));
    this.#held.set(name, { volumes, life });
    if (result.isInDoubt) await this.#release(name, false);
    else if (result.code !== 0) throw failed(volumes[0], holding(name, volumes), result);
  }

  async #exec(name: string): Promise<void> {
    const held = this.#held.get(name);
    if (!held || held.volumes.length === 0) return;
    if (!(await this.#write(held.volumes, ['exec', name], held.life))) await this.#revive(name, held);
  }

  /** A copy out of a running container mounts its volumes a second time, under the same ID. */
  async #inHeld(name: string, args: readonly string[]): Promise<void> {
    const held = this.#held.get(name);
    if (!held) return;
    const { code, isInDoubt, ...said } = await this.#user.ask(held.volumes[0], args);
    if (code === 0) return;
    if (!isInDoubt && this.#outages.number === held.life) throw failed(held.volumes[0], args, { code, ...said });
    await this.#revive(name, held);
  }

  /** @param isCertain whether it surely ran */
  async #release(name: string, isCertain = true): Promise<void> {
    const held = this.#held.get(name);
    if (!held) return;
    await this.#user.discard(held.volumes[0], name);
    this.#held.delete(name);
    this.#leftBy(held.volumes, isCertain);
  }

  /** A container that perhaps never ran may not have mounted them. */
  #leftBy(volumes: readonly ModelVolume[], isCertain: boolean): void {
    for (const volume of volumes) takeReference(volume, anonymousId, isCertain ? this.#scene.lives.number : -1);
  }

  async #revive(name: string, held: Held): Promise<void> {
    const { number: life } = this.#outages;
    const isRunning = await this.#user.isRunning(held.volumes[0], name);
    if (isRunning === undefined) throw new Violation(held.volumes[0]?.id.full, `dockerd forgot the container ${name}`);
    if (!isRunning && life === held.life)
      throw new Violation(held.volumes[0]?.id.full, `the container ${name} ended, and nobody killed it`);
    if (!isRunning) await this.#startAgain(name, held);
    held.life = life;
  }

  /** One that dockerd cannot start any more is made anew, as its user would. */
  async #startAgain(name: string, { volumes }: Held): Promise<void> {
    const [volume] = volumes;
    const isStuck = ({ stderr }: Result): boolean => stuck.test(stderr);
    let result = await this.#user.until(volume, ['start', name], (said) => said.code === 0 || isStuck(said));
    if (result.code === 0) return;
    this.#scene.history.count('containers that dockerd could not start again');
    do {
      await this.#user.discard(volume, name);
      result = await this.#user.ask(volume, holding(name, volumes));
    } while (result.isInDoubt);
    if (result.code !== 0) throw failed(volume, holding(name, volumes), result);
  }

  /** Only those that are there: dockerd would make the others, with a driver of its own choice. */
  #present(ids: readonly VolumeId[]): readonly ModelVolume[] {
    return ids.map((id) => this.#scene.model.of(id)).filter(({ presence }) => presence === 'there');
  }

  /** @returns false when it is in doubt what was written */
  async #write(volumes: readonly ModelVolume[], prefix: readonly string[], life?: number): Promise<boolean> {
    const jobs = volumes.map((volume, index) => this.#jobOf(volume, folderOf(index)));
    const args = [...prefix, 'sh', '-c', checkAndWrite, 'sh', ...jobs.flatMap((job) => job.args)];
    const result = await this.#user.ask(volumes[0], args);
    for (const { volume, record } of jobs) {
      const { full } = volume.id;
      if (result.stdout.split('\n').includes(`WROTE ${full}=${record.sha256}`))
        volume.files.set(fileOf(record.writer), record);
      else if (result.code === 0) throw new Violation(full, `the container said nothing of ${full}: ${result.stdout}`);
    }
    if (result.code === 0) return true;
    if (result.isInDoubt || (life !== undefined && life !== this.#outages.number)) return false;
    throw failed(volumes[0], args, result);
  }

  #jobOf(volume: ModelVolume, folder: string): Job {
    const { full } = volume.id;
    const writer = this.#user.name;
    const begun = volume.begun.get(writer) ?? 0;
    const sequence = begun + 1;
    volume.begun.set(writer, sequence);
    const certain = volume.files.get(fileOf(writer))?.sequence ?? 0;
    // Those after the last that was told of may have been written, by containers that were killed or not heard.
    const possible = Array.from({ length: begun - certain }, (_, more) => certain + 1 + more);
    const own = [certain, ...possible].map((one) => (one === 0 ? 'none' : contentHash(full, writer, one)));
    const record = { volume: full, writer, sequence, sha256: contentHash(full, writer, sequence) };
    return { volume, record, args: [folder, full, writer, String(sequence), own.join(',')] };
  }
}

interface Job {
  readonly volume: ModelVolume;
  readonly record: {
    readonly volume: string;
    readonly writer: string;
    readonly sequence: number;
    readonly sha256: string;
  };
  readonly args: readonly string[];
}

/** Holds its volumes until it is ended. */
function holding(name: string, volumes: readonly ModelVolume[]): readonly string[] {
  const run = ['run', '--detach', '--network', 'none', '--name', name, ...binds(volumes), images.plain];
  return [...run, 'sleep', '100000'];
}

function folderOf(index: number): string {
  return index === 0 ? '/data' : `/data${index}`;
}

function binds(volumes: readonly ModelVolume[]): readonly string[] {
  return volumes.flatMap(({ id }, index) => ['--volume', `${dockerNameOf(id)}:${folderOf(index)}`]);
}
