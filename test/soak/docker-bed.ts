/**
 * Where a storm through Docker takes place: a dockerd of our own with the plugin beside it, the service as a process of
 * its own, and the link between plugin and service. Invariant: as for a bed without Docker, nothing is left after it.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Daemon } from '../docker/harness/daemon.ts';
import { detachLoopsBelow } from '../docker/harness/loops.ts';
import { PrivateDocker } from '../docker/harness/private-docker.ts';
import { Anchor, intoMountsOf } from './anchor.ts';
import { linkPath, type Surroundings } from './bed.ts';
import { HostileLink } from './link/hostile-link.ts';
import { Program } from './program.ts';
import type { Random } from './random.ts';
import { answers, servicePlaces, serviceProgram } from './service-program.ts';

const root = join(import.meta.dirname, '../..');
/** Containers come slowly, and so do commands. */
const meanFrames = 12;

export interface DockerBed extends Surroundings, AsyncDisposable {
  readonly docker: PrivateDocker;
}

export interface DockerBedOptions {
  /** Containers survive the end of dockerd. */
  readonly liveRestore: boolean;
  /** Then the plugin looks often for what a kill left without a user. */
  readonly isChaos: boolean;
}

/** All programs run when it resolves. */
export async function openDockerBed(random: Random, { liveRestore, isChaos }: DockerBedOptions): Promise<DockerBed> {
  await using opening = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'vmdk-soak-'));
  opening.defer(() => rm(folder, { recursive: true, force: true }));
  opening.defer(() => detachLoopsBelow(folder));
  const places = servicePlaces(folder);
  const service = opening.use(await serviceProgram(places));
  const link = opening.use(
    await HostileLink.open({ path: linkPath(folder), target: places.vmSocket, random, meanFrames }),
  );
  await service.start();
  // Containers end before the plugin that serves them.
  const lasting = opening.use(new AsyncDisposableStack());
  const docker = opening.use(await PrivateDocker.start({ liveRestore }));
  const { pid } = docker.dockerd;
  const anchor = lasting.use(await Anchor.drop((command) => intoMountsOf(pid, command), join(folder, 'anchor.log')));
  const plugin = lasting.use(pluginOf(docker, anchor, folder, isChaos ? ['--sweep-grace-ms', '4000'] : []));
  await plugin.start();
  const owned = opening.move();
  return {
    docker,
    service,
    plugin,
    link,
    places,
    pluginSocket: docker.pluginSocket,
    mountRoot: docker.mountRoot,
    stateFolder: docker.stateFolder,
    rootFolder: anchor.rootFolder,
    mounts: () => docker.mounts(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Not the harness's, which cannot be killed while it starts. */
function pluginOf(docker: PrivateDocker, anchor: Anchor, folder: string, more: readonly string[]): Program {
  const command = [
    join(root, 'bin/vmdk-plugin'),
    ...['--socket', '/run/docker/plugins/vmdk.sock', '--service', `unix://${linkPath(folder)}`],
    ...['--mount-root', docker.mountRoot, '--state-dir', docker.stateFolder],
    ...['--docker-socket', join(docker.folder, 'docker.sock')],
    ...more,
  ] as const;
  return new Program({
    name: 'vmdk-plugin',
    launch: async () => {
      await mkdir(dirname(docker.pluginSocket), { recursive: true });
      const logFile = join(folder, 'plugin.log');
      return Daemon.start({ name: 'vmdk-plugin', command: anchor.inside(command), env: process.env, logFile });
    },
    isReady: () => answers(docker.pluginSocket, '/health'),
  });
}
