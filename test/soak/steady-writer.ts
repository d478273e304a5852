/**
 * A container that writes and flushes without a pause. Invariant: what it flushed is never lost, and it never sees an
 * error nor stands still, whatever is killed but itself, or a dockerd that takes its containers with it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deadline, pause } from '../../common/deadline.ts';
import { images } from '../docker/harness/images.ts';
import { countForEver } from './container-script.ts';
import { dockerNameOf } from './docker-plan.ts';
import type { DockerUser } from './docker-user.ts';
import { Violation } from './history.ts';
import { addReference, type ModelVolume, takeReference } from './model.ts';
import { anonymousId, folderOf } from './scene.ts';

const name = 'steady';
/** The machine is busy with starting programs, and a flush waits for its disk. */
const standstillMs = 20_000;
const lookMs = 20;

export class SteadyWriter {
  readonly #user: DockerUser;
  readonly #volume: ModelVolume;
  #pid = 0;
  #last = 0;
  /** Killed, itself or with dockerd, since it was started. */
  #isHit = false;

  constructor(user: DockerUser, volume: ModelVolume) {
    this.#user = user;
    this.#volume = volume;
  }

  /** Of the process in the container, as we see it. */
  get pid(): number {
    return this.#pid;
  }

  async start(): Promise<void> {
    addReference(this.#volume, anonymousId, 0);
    const place = ['--volume', `${dockerNameOf(this.#volume.id)}:/data`];
    const args = ['run', '--detach', '--network', 'none', '--name', name, ...place, images.plain];
    await this.#user.must(this.#volume, [...args, 'sh', '-c', countForEver]);
    await this.#begun();
  }

  /** From now on it may be found ended. */
  hit(): void {
    this.#isHit = true;
  }

  /** @throws Violation when it lost something, saw an error, or stands still; starts it again after a hit */
  async check(): Promise<void> {
    using limit = deadline(standstillMs, 'the next number');
    for (const before = this.#last; this.#last <= before; this.#last = await this.#read()) {
      if (this.#mayStand()) return;
      await pause(lookMs, limit.signal).catch(() => {
        throw new Violation(this.#volume.id.full, `the container that writes all the time stopped at ${this.#last}`);
      });
    }
  }

  async revive(): Promise<void> {
    const { full } = this.#volume.id;
    const format = '{{.State.Running}} {{.State.ExitCode}}';
    const said = await this.#user.must(this.#volume, ['inspect', '--format', format, name]);
    const [isRunning, code] = said.trim().split(' ');
    if (code === '9') throw new Violation(full, `the container that writes all the time saw an error`);
    if (isRunning === 'true') return;
    if (!this.#isHit)
      throw new Violation(full, `the container that writes all the time ended with ${code}, and nobody killed it`);
    await this.#user.must(this.#volume, ['start', name]);
    await this.#begun();
    const found = await this.#read();
    if (found < this.#last) throw new Violation(full, `${full} has the number ${found}, and had ${this.#last} before`);
  }

  async end(): Promise<void> {
    await this.#user.discard(this.#volume, name);
    takeReference(this.#volume, anonymousId, this.#user.scene.lives.number);
  }

  #mayStand(): boolean {
    return this.#isHit;
  }

  async #begun(): Promise<void> {
    this.#isHit = false;
    const said = await this.#user.must(this.#volume, ['inspect', '--format', '{{.State.Pid}}', name]);
    this.#pid = Number(said);
  }

  /** Through the plugin's own mount. */
  async #read(): Promise<number> {
    const file = join(folderOf(this.#user.scene, this.#volume.id), 'count');
    return Number(await readFile(file, 'utf8').catch(() => '0'));
  }
}
