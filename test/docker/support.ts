/** What the tests through a real dockerd share: a container's command line, and the plugin asked past dockerd. */
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { deadline, pause } from '../../common/deadline.ts';
import { images } from './harness/images.ts';
import type { PrivateDocker } from './harness/private-docker.ts';

export function runArgs(volume: string, ...command: readonly string[]): readonly string[] {
  return ['run', '--rm', '--network', 'none', '--volume', `${volume}:/data`, images.plain, ...command];
}

/** Waits for a container that dockerd starts again by itself; there is no event for who was not there before. */
export async function untilRunning(docker: PrivateDocker, id: string): Promise<void> {
  using limit = deadline(30_000, `the start of container ${id}`);
  while ((await docker.docker(['exec', id, 'true'])).code !== 0) await pause(100, limit.signal);
}

/** Starts a container that uses the volume until it is removed; gives its ID. */
export function hold(docker: PrivateDocker, volume: string, ...more: readonly string[]): Promise<string> {
  const args = ['run', '--detach', '--network', 'none', '--volume', `${volume}:/data`, ...more, images.plain];
  return docker.mustDocker([...args, 'sleep', '1000']);
}

export function sh(docker: PrivateDocker, volume: string, script: string): Promise<string> {
  return docker.mustDocker(runArgs(volume, 'sh', '-c', script));
}

export async function create(docker: PrivateDocker, name: string, ...options: readonly string[]): Promise<void> {
  await docker.mustDocker([
    'volume',
    'create',
    '--driver',
    'vmdk',
    ...options.flatMap((each) => ['--opt', each]),
    name,
  ]);
}

export async function remove(docker: PrivateDocker, ...names: readonly string[]): Promise<void> {
  await docker.mustDocker(['volume', 'rm', ...names]);
}

/** Asks the plugin itself, as dockerd would. */
export function askPlugin(docker: PrivateDocker, verb: string, body: unknown): Promise<Record<string, unknown>> {
  return ask(docker.pluginSocket, 'POST', `/${verb}`, JSON.stringify(body));
}

export function health(docker: PrivateDocker): Promise<Record<string, unknown>> {
  return ask(docker.pluginSocket, 'GET', '/health', '');
}

async function ask(socketPath: string, method: string, path: string, body: string): Promise<Record<string, unknown>> {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  const sent = request({ socketPath, method, path, timeout: 30_000, agent: false }, (response) => {
    text(response).then((answer) => resolve(JSON.parse(answer) as Record<string, unknown>), reject);
  });
  sent.on('error', reject);
  sent.end(body);
  return promise;
}

export interface Inspected {
  readonly Name: string;
  readonly Driver: string;
  readonly Scope: string;
  readonly Mountpoint: string;
  readonly Status: Readonly<Record<string, unknown>>;
}

export async function inspect(docker: PrivateDocker, volume: string): Promise<Inspected> {
  const [found] = JSON.parse(await docker.mustDocker(['volume', 'inspect', volume])) as Inspected[];
  if (!found) throw new Error(`docker inspects no volume ${volume}`);
  return found;
}

export function diskPath(docker: PrivateDocker, volume: string, ending = '.vmdk'): string {
  return join(docker.datastore, 'dockvols/_DEFAULT', `${volume}${ending}`);
}

/** The line of the container's mount table that shows the volume. */
export function mountLine(docker: PrivateDocker, volume: string): Promise<string> {
  return sh(docker, volume, 'grep " /data " /proc/self/mountinfo');
}

/** Where the host has the volume mounted; what a managed plugin tells of that is a path of its own. */
export async function mountedPath(docker: PrivateDocker, volume: string): Promise<string> {
  const points = (await docker.mounts()).map((line) => line.split(' ')[4] ?? '');
  const found = points.findLast((point) => point.endsWith(`/local/${volume}`));
  if (found === undefined) throw new Error(`${volume} is mounted nowhere`);
  return found;
}
