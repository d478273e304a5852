/**
 * One user of docker. Its containers check and write the files of `data-files.ts` with nothing but a shell. Invariant:
 * the model knows of each file what the container said that it wrote, and of each container which volumes it holds.
 */
import type { CommandResult } from '../docker/harness/command.ts';
import { images } from '../docker/harness/images.ts';
import type { PrivateDocker } from '../docker/harness/private-docker.ts';
import { fileOf } from './data-files.ts';
import { type DockerStep, dockerNameOf } from './docker-plan.ts';
import { Violation } from './history.ts';
import { addReference, made, type ModelVolume, takeReference } from './model.ts';
import type { VolumeId } from './roster.ts';
import { anonymousId, type Scene } from './scene.ts';

const limitMs = 180_000;

/**
 * Arguments: folder, volume, writer, next sequence number, and the hash that the writer's own file must have. Each file
 * is copied at once and then read, since others replace theirs meanwhile.
 */
const script = `
set -eu
while [ $# -gt 0 ]; do
  folder=$1 volume=$2 writer=$3 sequence=$4 own=$5; shift 5
  copy=/tmp/copy-$writer
  [ "$own" = none ] || [ -e "$folder/data-$writer" ] || { echo "LOST $folder/data-$writer"; exit 9; }
  for file in "$folder"/data-*; do
    case $file in *.new | *'*') continue ;; esac
    cat "$file" > "$copy"
    told=$(sed -n '1s/.*"sha256":"\\([0-9a-f]*\\)".*/\\1/p' "$copy")
    is=$(tail -n +2 "$copy" | sha256sum | cut -d ' ' -f 1)
    [ "$told" = "$is" ] || { echo "BROKEN $file: told $told, is $is"; exit 9; }
    [ "$file" != "$folder/data-$writer" ] || [ "$own" = "$is" ] || { echo "OLD $file: has $is, not $own"; exit 9; }
  done
  head -c 3000 /dev/urandom | base64 > "$copy"
  hash=$(sha256sum < "$copy" | cut -d ' ' -f 1)
  { printf '{"volume":"%s","writer":"%s","sequence":%s,"sha256":"%s"}\\n' "$volume" "$writer" "$sequence" "$hash"; cat "$copy"; } > "$folder/data-$writer.new"
  mv "$folder/data-$writer.new" "$folder/data-$writer"
  echo "WROTE $volume=$hash"
done
`;

export class DockerActor {
  readonly name: string;
  readonly #scene: Scene;
  readonly #docker: PrivateDocker;
  /** Its containers, by name. */
  readonly #held = new Map<string, readonly ModelVolume[]>();

  constructor(scene: Scene, docker: PrivateDocker, name: string) {
    this.name = name;
    this.#scene = scene;
    this.#docker = docker;
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
        await this.#must(undefined, ['volume', 'ls', '--quiet']);
        return;
      case 'run':
        return this.#run(step.volumes, step.hasImageData);
      case 'hold':
        return this.#hold(step.volumes, step.name);
      case 'exec':
        return this.#write(this.#held.get(step.name) ?? [], ['exec', step.name]);
      case 'cp':
        return this.#copy(step.name);
      case 'restart':
        await this.#must(this.#held.get(step.name)?.[0], ['restart', '--time', '0', step.name]);
        return;
      case 'release':
        return this.#release(step.name);
    }
  }

  async create(id: VolumeId): Promise<void> {
    const volume = this.#scene.model.of(id);
    const options = { size: '16mb' };
    await this.#must(volume, ['volume', 'create', '--driver', 'vmdk', '--opt', 'size=16mb', dockerNameOf(id)]);
    if (volume.presence !== 'there') made(volume, options, dockerNameOf(id), undefined);
    volume.presence = 'there';
  }

  /** What a container uses, even one that is not running, dockerd does not give away. */
  async remove(id: VolumeId): Promise<void> {
    const volume = this.#scene.model.of(id);
    const isHeld = volume.references.length > 0;
    const { code, stderr } = await this.#ask(volume, ['volume', 'rm', dockerNameOf(id)]);
    const isRight = volume.presence === 'gone' ? /no such volume/i.test(stderr) : (code === 0) !== isHeld;
    if (!isRight)
      throw new Violation(
        id.full,
        `volume rm ended with ${code}: ${stderr}; ${volume.references.length} containers have it`,
      );
    if (code === 0) volume.presence = 'gone';
  }

  /** Gives all containers back, then removes these volumes. */
  async leave(own: readonly VolumeId[]): Promise<void> {
    for (const name of [...this.#held.keys()]) await this.#release(name);
    for (const id of own) if (this.#scene.model.of(id).presence === 'there') await this.remove(id);
  }

  async #inspect(id: VolumeId): Promise<void> {
    const volume = this.#scene.model.of(id);
    const { code, stderr } = await this.#ask(volume, ['volume', 'inspect', dockerNameOf(id)]);
    if ((code === 0) === (volume.presence === 'there')) return;
    throw new Violation(id.full, `volume inspect ended with ${code}: ${stderr}; the volume is ${volume.presence}`);
  }

  async #run(ids: readonly VolumeId[], hasImageData: boolean): Promise<void> {
    const volumes = this.#present(ids);
    const image = hasImageData ? images.withData : images.plain;
    this.#scene.history.count('containers');
    for (const volume of volumes) addReference(volume, anonymousId);
    await this.#write(volumes, ['run', '--rm', '--network', 'none', ...binds(volumes), image]);
    for (const volume of volumes) takeReference(volume, anonymousId);
  }

  async #hold(ids: readonly VolumeId[], name: string): Promise<void> {
    const volumes = this.#present(ids);
    this.#scene.history.count('containers');
    this.#held.set(name, volumes);
    for (const volume of volumes) addReference(volume, anonymousId);
    const args = ['run', '--detach', '--network', 'none', '--name', name, ...binds(volumes), images.plain];
    await this.#must(volumes[0], [...args, 'sleep', '100000']);
  }

  /** A copy out of a running container mounts its volumes a second time, under the same ID. */
  async #copy(name: string): Promise<void> {
    const volumes = this.#held.get(name) ?? [];
    await this.#must(volumes[0], ['cp', `${name}:/etc`, '-']);
  }

  async #release(name: string): Promise<void> {
    const volumes = this.#held.get(name);
    if (!volumes) return;
    await this.#must(volumes[0], ['rm', '--force', name]);
    this.#held.delete(name);
    for (const volume of volumes) takeReference(volume, anonymousId);
  }

  /** Only those that are there: dockerd would make the others, with a driver of its own choice. */
  #present(ids: readonly VolumeId[]): readonly ModelVolume[] {
    return ids.map((id) => this.#scene.model.of(id)).filter(({ presence }) => presence === 'there');
  }

  async #write(volumes: readonly ModelVolume[], prefix: readonly string[]): Promise<void> {
    if (volumes.length === 0 && prefix[0] === 'exec') return;
    const jobs = volumes.map((volume, index) => ({ volume, folder: folderOf(index), sequence: this.#nextOf(volume) }));
    const args = jobs.flatMap(({ volume, folder, sequence }) => {
      const own = volume.files.get(fileOf(this.name))?.sha256 ?? 'none';
      return [folder, volume.id.full, this.name, String(sequence), own];
    });
    const said = await this.#must(volumes[0], [...prefix, 'sh', '-c', script, 'sh', ...args]);
    for (const { volume, sequence } of jobs) {
      const { full } = volume.id;
      const sha256 = said
        .split('\n')
        .find((line) => line.startsWith(`WROTE ${full}=`))
        ?.slice(`WROTE ${full}=`.length);
      if (sha256 === undefined) throw new Violation(full, `the container said nothing of ${full}: ${said}`);
      volume.files.set(fileOf(this.name), { volume: full, writer: this.name, sequence, sha256 });
    }
  }

  #nextOf(volume: ModelVolume): number {
    const sequence = (volume.begun.get(this.name) ?? 0) + 1;
    volume.begun.set(this.name, sequence);
    return sequence;
  }

  async #must(volume: ModelVolume | undefined, args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#ask(volume, args);
    if (code === 0) return stdout;
    throw new Violation(volume?.id.full, `docker ${args.slice(0, 9).join(' ')} ended with ${code}: ${stdout}${stderr}`);
  }

  async #ask(volume: ModelVolume | undefined, args: readonly string[]): Promise<CommandResult> {
    const since = performance.now();
    const { signal, history } = this.#scene;
    const result = await this.#docker.docker(args, { timeoutMs: limitMs, signal });
    const ms = performance.now() - since;
    const verb = args[0] === 'volume' ? `volume ${args[1] ?? ''}` : (args[0] ?? '');
    history.took(verb, ms);
    if (volume)
      history.note(
        volume.id.full,
        this.name,
        `docker ${args.slice(0, 3).join(' ')}: ${result.code} (${ms.toFixed(0)} ms)`,
      );
    return result;
  }
}

function folderOf(index: number): string {
  return index === 0 ? '/data' : `/data${index}`;
}

function binds(volumes: readonly ModelVolume[]): readonly string[] {
  return volumes.flatMap(({ id }, index) => ['--volume', `${dockerNameOf(id)}:${folderOf(index)}`]);
}
