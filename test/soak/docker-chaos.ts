/**
 * Who is killed in a storm through Docker: plugin, service, dockerd, containers, and some of them at once. Invariant: a
 * dockerd is started again until it serves, as a service manager does; a container is not, since its user does.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deadline, pause } from '../../common/deadline.ts';
import type { PrivateDocker } from '../docker/harness/private-docker.ts';
import { killIfAlive, untilEnded } from '../docker/harness/processes.ts';
import { Chaos, noted, pluginOf, type Victim } from './chaos.ts';
import type { DockerBed } from './docker-bed.ts';
import type { Lives } from './lives.ts';
import type { Random } from './random.ts';
import type { Scene } from './scene.ts';
import type { SteadyWriter } from './steady-writer.ts';
import { Strikes } from './strikes.ts';

type Killed = 'plugin' | 'service' | 'dockerd' | 'container';

const targets = {
  plugin: ['plugin'],
  service: ['service'],
  dockerd: ['dockerd'],
  container: ['container'],
  'plugin and service': ['plugin', 'service'],
  'plugin and dockerd': ['plugin', 'dockerd'],
  all: ['plugin', 'service', 'dockerd'],
} as const;
const weights: Readonly<Record<keyof typeof targets, number>> = {
  plugin: 5,
  service: 4,
  dockerd: 3,
  container: 4,
  'plugin and service': 2,
  'plugin and dockerd': 1,
  all: 1,
};

const endMs = 10_000;
const lookMs = 5;
/** "timeout waiting for containerd" is a failure of its own, cured by the next start. */
const dockerdStarts = 4;

export interface DockerChaosParts {
  readonly bed: DockerBed;
  readonly scene: Scene;
  readonly outages: Lives;
  readonly liveRestore: boolean;
  readonly writer: SteadyWriter;
  readonly random: Random;
}

export function dockerChaos({ bed, scene, outages, liveRestore, writer, random }: DockerChaosParts): Chaos<Killed> {
  const { docker, service } = bed;
  const { history, signal } = scene;
  const strikes = new Strikes<Killed>(random.fork('strikes'), targets, weights);
  const mortal = pluginOf(bed, scene);
  const onDockerd = liveRestore ? (): void => undefined : (): void => writer.hit();
  const victims = {
    plugin: noted(mortal, 'plugin', outages),
    service: noted(service, 'service', outages),
    dockerd: noted(dockerdOf(docker, onDockerd), 'dockerd', outages),
    container: noted(containerOf(docker, writer, random.fork('containers')), 'container', outages),
  };
  return new Chaos({ victims, strikes, history, signal, look: () => writer.check() });
}

function dockerdOf(docker: PrivateDocker, onKill: () => void): Victim {
  let starting: Promise<void> = Promise.resolve();
  /** Resolves when the process runs, so that what is killed next is this one. */
  const start = async (): Promise<void> => {
    const before = docker.dockerd;
    using limit = deadline(endMs, 'a process of dockerd');
    starting = docker.startDockerd();
    starting.catch(() => undefined);
    while (docker.dockerd === before) await pause(lookMs, limit.signal);
  };
  return {
    async mustRun() {
      if (!docker.dockerd.isRunning) throw new Error(await docker.dockerd.logTail());
    },
    async kill9() {
      onKill();
      await killDockerd(docker);
    },
    launch: start,
    async serves() {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await starting;
          return;
        } catch (error) {
          if (attempt === dockerdStarts) throw error;
          await killDockerd(docker);
          await start();
        }
      }
    },
  };
}

/** Also one that has only begun to start. */
async function killDockerd({ dockerd, folder }: PrivateDocker): Promise<void> {
  const containerdFile = join(folder, 'exec/containerd/containerd.pid');
  const containerd = Number(await readFile(containerdFile, 'utf8').catch(() => '0'));
  await dockerd.kill9();
  // The kernel ends containerd with its parent, unless that died in the moment of its start.
  if (await isContainerd(containerd)) {
    killIfAlive(containerd);
    await untilEnded([containerd], endMs);
  }
  for (const file of [join(folder, 'docker.pid'), containerdFile]) await rm(file, { force: true });
}

/** The file may name one that ended long ago. */
async function isContainerd(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim() === 'containerd';
}

/** Any of those that run. */
function containerOf(docker: PrivateDocker, writer: SteadyWriter, random: Random): Victim {
  return {
    mustRun: () => Promise.resolve(),
    async kill9() {
      const ids = (await docker.mustDocker(['ps', '--quiet', '--no-trunc'])).split('\n').filter((id) => id !== '');
      const id = random.pickAny(ids);
      if (id === undefined) return;
      const { stdout } = await docker.docker(['inspect', '--format', '{{.State.Pid}}', id]);
      const pid = Number(stdout);
      if (pid === writer.pid) writer.hit();
      if (pid > 0) {
        killIfAlive(pid);
        await untilEnded([pid], endMs);
      }
    },
    launch: () => Promise.resolve(),
    serves: () => Promise.resolve(),
  };
}
