/**
 * The docker command line in the hands of one user. Invariant: a command that failed is told to be in doubt only when
 * something that it needs was killed while it ran, or the plugin could not reach its service and said so; every other
 * failure is a Violation, as are an answer that does not come and data that is not right.
 */
import { deadline, pause } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import type { CommandResult } from '../../scripts/command.ts';
import type { PrivateDocker } from '../docker/harness/private-docker.ts';
import { dataIsWrong } from './container-script.ts';
import { stacksOf } from './dockerd-stacks.ts';
import { Violation } from './history.ts';
import type { Lives } from './lives.ts';
import type { ModelVolume } from './model.ts';
import type { Scene } from './scene.ts';
import { unsure } from './verdict.ts';

const limitMs = 180_000;
/** What a kill left in doubt is in order after this. */
const settleMs = 150_000;
const retryMs = 300;

export type Result = CommandResult & { readonly isInDoubt: boolean };

export class DockerUser {
  readonly name: string;
  readonly scene: Scene;
  /** Of all that a command needs: plugin, service, dockerd, containers. */
  readonly outages: Lives;
  readonly #docker: PrivateDocker;

  constructor(scene: Scene, docker: PrivateDocker, name: string, outages: Lives) {
    this.name = name;
    this.scene = scene;
    this.outages = outages;
    this.#docker = docker;
  }

  async ask(volume: ModelVolume | undefined, args: readonly string[]): Promise<Result> {
    const since = performance.now();
    const wasGone = this.outages.watch();
    const { signal, history } = this.scene;
    const result = await this.#docker.docker(args, { timeoutMs: limitMs, signal }).catch(async (error: unknown) => {
      signal.throwIfAborted();
      throw new Violation(volume?.id.full, `${messageOf(error)}\n${await stacksOf(this.#docker)}`);
    });
    const ms = performance.now() - since;
    history.took(args[0] === 'volume' ? `volume ${args[1] ?? ''}` : (args[0] ?? ''), ms);
    const said = `docker ${args.slice(0, 3).join(' ')}: ${result.code} (${ms.toFixed(0)} ms)`;
    if (volume) history.note(volume.id.full, this.name, said);
    if (dataIsWrong.test(result.stdout)) throw failed(volume, args, result);
    const isGone = result.code !== 0 && wasGone();
    const isUnsure = result.code !== 0 && !isGone && unsure.test(result.stderr);
    if (isGone) history.count('answers that a kill took');
    if (isUnsure) history.count('unsure answers');
    return { ...result, isInDoubt: isGone || isUnsure };
  }

  /** For what may be asked again: what it said when it succeeded. */
  async must(volume: ModelVolume | undefined, args: readonly string[]): Promise<string> {
    return (await this.until(volume, args, ({ code }) => code === 0)).stdout;
  }

  /**
   * Asks until it is done, as long as the failures began with one that is in doubt.
   * @param isPassing failures that earlier kills explain
   */
  async until(
    volume: ModelVolume | undefined,
    args: readonly string[],
    isDone: (result: Result) => boolean,
    isPassing: (result: Result) => boolean = () => false,
  ): Promise<Result> {
    using limit = deadline(settleMs, `docker ${args.slice(0, 3).join(' ')}`, this.scene.signal);
    // Failures that began with a kill outlast it: dockerd goes on for a while with what it had begun.
    let wasInDoubt = false;
    for (;;) {
      const result = await this.ask(volume, args);
      if (isDone(result)) return result;
      wasInDoubt ||= result.isInDoubt || isPassing(result);
      if (!wasInDoubt) throw failed(volume, args, result);
      await pause(retryMs, limit.signal).catch(() => {
        this.scene.signal.throwIfAborted();
        throw failed(volume, args, result);
      });
    }
  }

  /** Whatever is left of the container goes. */
  async discard(volume: ModelVolume | undefined, name: string): Promise<void> {
    await this.until(volume, ['rm', '--force', name], ({ code, stderr }) => code === 0 || isNoContainer(stderr));
  }

  /** @returns undefined when there is no such container */
  async isRunning(volume: ModelVolume | undefined, name: string): Promise<boolean | undefined> {
    const args = ['inspect', '--type', 'container', '--format', '{{.State.Running}}', name];
    const { code, stdout } = await this.until(volume, args, (found) => found.code === 0 || isNoContainer(found.stderr));
    return code === 0 ? stdout.trim() === 'true' : undefined;
  }
}

export function failed(
  volume: ModelVolume | undefined,
  args: readonly string[],
  { code, stdout, stderr }: CommandResult,
): Violation {
  return new Violation(volume?.id.full, `docker ${args.slice(0, 9).join(' ')} ended with ${code}: ${stdout}${stderr}`);
}

function isNoContainer(stderr: string): boolean {
  return /no such container/i.test(stderr);
}
