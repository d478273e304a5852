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

/** Both programs run when it resolves. */
export async function openStormBed(random: Random): Promise<Surroundings & AsyncDisposable> {
  if (process.getuid?.() !== 0) throw new Error('a storm mounts file systems: run it as root');
  await using opening = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'vmdk-soak-'));
  opening.defer(() => rm(folder, { recursive: true, force: true }));
  opening.defer(() => detachLoopsBelow(folder));
  const namespace = opening.use(await MountNamespace.open(join(folder, 'run')));
  const anchor = opening.use(await Anchor.drop((command) => namespace.inside(command), join(folder, 'anchor.log')));
  const [mountRoot, stateFolder] = [join(folder, 'mounts'), join(folder, 'state')];
  for (const made of [mountRoot, stateFolder]) await mkdir(made);
  const places = servicePlaces(folder);
  const service = opening.use(await serviceProgram(places));
  const link = opening.use(
    await HostileLink.open({ path: linkPath(folder), target: places.vmSocket, random, meanFrames }),
  );
  const pluginPlaces = { folder, pluginSocket: join(folder, 'plugin.sock'), mountRoot, stateFolder };
  const plugin = opening.use(pluginProgram(namespace, pluginPlaces));
  await service.start();
  await plugin.start();
  const owned = opening.move();
  return {
    service,
    plugin,
    link,
    places,
    ...pluginPlaces,
    rootFolder: anchor.rootFolder,
    mounts: () => namespace.mounts(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface PluginPlaces {
  readonly folder: string;
  readonly pluginSocket: string;
  readonly mountRoot: string;
  readonly stateFolder: string;
}

function pluginProgram(
  namespace: MountNamespace,
  { folder, pluginSocket, mountRoot, stateFolder }: PluginPlaces,
): Program {
  const command = namespace.inside([
    join(root, 'bin/vmdk-plugin'),
    ...['--service', `unix://${linkPath(folder)}`, '--socket', pluginSocket],
    // No process holds what these clients mount, so the plugin would in time take their references back.
    ...['--sweep-grace-ms', String(60 * 60_000)],
    ...['--mount-root', mountRoot, '--state-dir', stateFolder],
  ]);
  const logFile = join(folder, 'plugin.log');
  return new Program({
    name: 'vmdk-plugin',
    launch: () => Daemon.start({ name: 'vmdk-plugin', command, env: cleanEnvironment(), logFile }),
    isReady: () => answers(pluginSocket, '/health'),
  });
}

export function linkPath(folder: string): string {
  return join(folder, 'link.sock');
}
