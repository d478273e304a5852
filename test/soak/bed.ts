/**
 * Where a storm without Docker takes place: plugin and service as processes of the real programs, the link between them,
 * one folder, and one mount namespace. Invariant: after its disposal no mount, loop device, process or file of it is
 * left; if we are killed, the namespace takes its mounts with it, and the programs end.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Daemon } from '../docker/harness/daemon.ts';
import { detachLoopsBelow } from '../docker/harness/loops.ts';
import { MountNamespace } from '../docker/harness/namespace.ts';
import { Anchor } from './anchor.ts';
import { HostileLink } from './link/hostile-link.ts';
import { Program } from './program.ts';
import type { Random } from './random.ts';
import { answers, cleanEnvironment, servicePlaces, serviceProgram, type ServicePlaces } from './service-program.ts';

const root = join(import.meta.dirname, '../..');
/** Of a link that hundreds of commands a second use. */
const meanFrames = 120;

/** What a storm needs to know of its surroundings. */
export interface Surroundings {
  readonly service: Program;
  readonly plugin: Program;
  readonly link: HostileLink;
  readonly places: ServicePlaces;
  readonly pluginSocket: string;
  readonly mountRoot: string;
  readonly rootFolder: string;
  readonly stateFolder: string;
  /** The mount table where the plugin mounts. */
  readonly mounts: () => Promise<readonly string[]>;
}

export class StormBed implements Surroundings, AsyncDisposable {
  readonly service: Program;
  readonly plugin: Program;
  readonly link: HostileLink;
  readonly places: ServicePlaces;
  readonly pluginSocket: string;
  readonly mountRoot: string;
  readonly rootFolder: string;
  readonly stateFolder: string;
  readonly #owned: AsyncDisposableStack;
  readonly #namespace: MountNamespace;

  private constructor(
    places: ServicePlaces,
    namespace: MountNamespace,
    parts: Pick<StormBed, 'link' | 'service' | 'rootFolder'>,
    owned: AsyncDisposableStack,
  ) {
    this.places = places;
    this.#namespace = namespace;
    this.link = parts.link;
    this.service = parts.service;
    this.pluginSocket = join(places.folder, 'plugin.sock');
    this.mountRoot = join(places.folder, 'mounts');
    this.rootFolder = parts.rootFolder;
    this.stateFolder = join(places.folder, 'state');
    this.plugin = new Program({
      name: 'vmdk-plugin',
      launch: () => this.#launchPlugin(),
      isReady: () => answers(this.pluginSocket, '/health'),
    });
    this.#owned = owned;
  }

  /** Both programs run when it resolves. */
  static async open(random: Random): Promise<StormBed> {
    if (process.getuid?.() !== 0) throw new Error('a storm mounts file systems: run it as root');
    await using opening = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'vmdk-soak-'));
    opening.defer(() => rm(folder, { recursive: true, force: true }));
    opening.defer(() => detachLoopsBelow(folder));
    const namespace = opening.use(await MountNamespace.open(join(folder, 'run')));
    const anchor = opening.use(await Anchor.drop((command) => namespace.inside(command), join(folder, 'anchor.log')));
    for (const name of ['mounts', 'state']) await mkdir(join(folder, name));
    const places = servicePlaces(folder);
    const service = opening.use(await serviceProgram(places));
    const link = opening.use(
      await HostileLink.open({ path: linkPath(folder), target: places.vmSocket, random, meanFrames }),
    );
    const bed = new StormBed(
      places,
      namespace,
      { link, service, rootFolder: anchor.rootFolder },
      new AsyncDisposableStack(),
    );
    opening.use(bed.plugin);
    await service.start();
    await bed.plugin.start();
    bed.#owned.use(opening.move());
    return bed;
  }

  mounts(): Promise<readonly string[]> {
    return this.#namespace.mounts();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }

  #launchPlugin(): Promise<Daemon> {
    const { folder } = this.places;
    const command = [
      join(root, 'bin/vmdk-plugin'),
      ...['--service', `unix://${linkPath(folder)}`, '--socket', this.pluginSocket],
      // No process holds what these clients mount, so the plugin would in time take their references back.
      ...['--sweep-grace-ms', String(60 * 60_000)],
      ...['--mount-root', this.mountRoot, '--state-dir', this.stateFolder],
    ] as const;
    return Daemon.start({
      name: 'vmdk-plugin',
      command: this.#namespace.inside(command),
      env: cleanEnvironment(),
      logFile: join(folder, 'plugin.log'),
    });
  }
}

export function linkPath(folder: string): string {
  return join(folder, 'link.sock');
}
