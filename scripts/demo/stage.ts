/**
 * Where the demo plays: a dockerd, our plugin and an image. Invariant: closing a stage takes away all that it brought,
 * in any state, and nothing else.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type CommandResult, runCommand } from '../command.ts';
import { Daemon } from '../../test/docker/harness/daemon.ts';
import { images, importImages } from '../../test/docker/harness/images.ts';
import { detachLoopsBelow, unmountBelow } from '../../test/docker/harness/loops.ts';
import { PrivateDocker } from '../../test/docker/harness/private-docker.ts';

const root = dirname(dirname(import.meta.dirname));
const systemSocket = '/run/docker/plugins/vmdk.sock';

export interface Stage extends AsyncDisposable {
  readonly description: string;
  readonly datastore: string;
  docker(args: readonly string[], signal: AbortSignal): Promise<CommandResult>;
  /** The end of what the plugin logged, for explaining a failure. */
  pluginLog(): Promise<string>;
}

/** A dockerd that lives only for the demo. */
export async function privateStage(): Promise<Stage> {
  const docker = await PrivateDocker.start();
  try {
    await docker.startPlugin();
  } catch (error) {
    await docker.stop();
    throw error;
  }
  return {
    description: 'a dockerd of its own, apart from any other on this machine',
    datastore: docker.datastore,
    docker: (args, signal) => docker.docker(args, { signal }),
    pluginLog: () => docker.plugin.logTail(),
    [Symbol.asyncDispose]: () => docker.stop(),
  };
}

/** The dockerd of this machine. Refuses when it has our plugin already. */
export async function systemStage(names: { containers: readonly string[]; volume: string }): Promise<Stage> {
  const env = { ...process.env, DOCKER_HOST: 'unix:///var/run/docker.sock', DOCKER_CONTEXT: '' };
  const docker = (args: readonly string[], signal?: AbortSignal): Promise<CommandResult> =>
    runCommand(['docker', ...args], signal ? { env, signal } : { env });
  const version = await docker(['version', '--format', '{{.Server.Version}}']);
  if (version.code !== 0) throw new Error('no dockerd answers on this machine; run the demo without --system.');
  if (await accepts(systemSocket)) {
    throw new Error(
      `a vmdk plugin is alive at ${systemSocket}. The demo leaves it alone: stop it first, or run without --system.`,
    );
  }
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'vmdk-demo-'));
  const at = (name: string): string => join(folder, name);
  stack.defer(async () => {
    await unmountBelow(folder);
    await detachLoopsBelow(folder);
    await rm(folder, { recursive: true, force: true });
  });
  for (const name of ['mnt', 'state', 'datastore']) await mkdir(at(name));
  await rm(systemSocket, { force: true });
  await mkdir(dirname(systemSocket), { recursive: true });
  stack.defer(() => rm(systemSocket, { force: true }));
  const places = ['--mount-root', at('mnt'), '--state-dir', at('state'), '--datastore', at('datastore')];
  const sockets = ['--socket', systemSocket, '--admin-socket', at('admin.sock')];
  const plugin = await Daemon.start({
    name: 'vmdk-plugin',
    command: [join(root, 'bin/vmdk-plugin'), '--embedded', ...places, ...sockets],
    env: process.env,
    logFile: at('plugin.log'),
  });
  stack.use(plugin);
  await plugin.waitUntil(() => accepts(systemSocket), 10_000);
  stack.defer(async () => {
    await docker(['rm', '--force', ...names.containers]);
    await docker(['volume', 'rm', '--force', names.volume]);
    await docker(['image', 'rm', ...Object.values(images)]);
  });
  await importImages(docker, at('images'));
  const kept = stack.move();
  return {
    description: `the dockerd ${version.stdout.trim()} of this machine`,
    datastore: at('datastore'),
    docker,
    pluginLog: () => plugin.logTail(),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
