/**
 * Where a storm through Docker takes place: a dockerd of our own with the plugin beside it, the service as a process of
 * its own, and the link between plugin and service. Invariant: as for a bed without Docker, nothing is left after it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { detachLoopsBelow } from '../docker/harness/loops.ts';
import { PrivateDocker } from '../docker/harness/private-docker.ts';
import { linkPath, type Surroundings } from './bed.ts';
import { HostileLink } from './link/hostile-link.ts';
import { Program } from './program.ts';
import type { Random } from './random.ts';
import { servicePlaces, serviceProgram } from './service-program.ts';

/** Containers come slowly, and so do commands. */
const meanFrames = 12;

export interface DockerBed extends Surroundings, AsyncDisposable {
  readonly docker: PrivateDocker;
}

/** All programs run when it resolves. */
export async function openDockerBed(random: Random): Promise<DockerBed> {
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
  const docker = opening.use(await PrivateDocker.start());
  const plugin = new Program('vmdk-plugin', () =>
    docker.startPlugin({ args: ['--service', `unix://${linkPath(folder)}`] }),
  );
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
    mounts: () => docker.mounts(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
