/** Swarm nodes as network namespaces of this machine, each with a dockerd and our plugin. */
import { deadline, pause } from '../../common/deadline.ts';
import { images } from './harness/images.ts';
import type { PrivateDocker } from './harness/private-docker.ts';

/** The port on which managers talk; each has a network namespace of its own. */
const port = 2377;
const taskPatienceMs = 60_000;

/** @param args of the swarm command before its addresses */
export async function initSwarm(node: PrivateDocker, address: string): Promise<void> {
  await reportDriver(node);
  const places = ['--advertise-addr', address, '--listen-addr', `${address}:${port}`];
  // So that a node that is gone is known to be soon.
  await node.mustDocker(['swarm', 'init', '--dispatcher-heartbeat', '1s', ...places]);
}

export async function joinSwarm(manager: PrivateDocker, node: PrivateDocker, at: Addresses): Promise<void> {
  await reportDriver(node);
  const token = await manager.mustDocker(['swarm', 'join-token', '--quiet', 'worker']);
  const places = ['--advertise-addr', at.node, '--listen-addr', `${at.node}:${port}`];
  await node.mustDocker(['swarm', 'join', '--token', token, ...places, `${at.manager}:${port}`]);
}

export interface Addresses {
  readonly manager: string;
  readonly node: string;
}

/** A cable between two nodes. */
export async function connect(manager: PrivateDocker, node: PrivateDocker, at: Addresses): Promise<void> {
  const peer = ['peer', 'name', 'cable', 'netns', String(node.namespacePid)];
  await mustInside(manager, 'ip', 'link', 'add', 'cable', 'type', 'veth', ...peer);
  for (const [one, address] of [
    [manager, at.manager],
    [node, at.node],
  ] as const) {
    await mustInside(one, 'ip', 'address', 'add', `${address}/24`, 'dev', 'cable');
    await mustInside(one, 'ip', 'link', 'set', 'cable', 'up');
  }
}

async function mustInside(node: PrivateDocker, program: string, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await node.inside([program, ...args]);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

/** dockerd tells the swarm of a driver only once it has used it. */
async function reportDriver(node: PrivateDocker): Promise<void> {
  await node.mustDocker(['volume', 'ls']);
}

/** Each replica has a volume by its number, and adds a line to a file on it at each start. */
export async function createService(manager: PrivateDocker, ...more: readonly string[]): Promise<void> {
  const volume = 'type=volume,source=db-{{.Task.Slot}},target=/data,volume-driver=vmdk,volume-opt=size=64mb';
  const command = ['sh', '-c', 'echo $NODE >> /data/log; sync; exec sleep 1000'];
  await manager.mustDocker([
    ...['service', 'create', '--detach', '--name', 'db', '--network', 'host', '--mount', volume],
    ...['--stop-grace-period', '1s', '--restart-delay', '500ms', '--no-resolve-image', ...more],
    ...['--env', 'NODE={{.Node.ID}}', images.plain, ...command],
  ]);
}

/** What `docker service ps` tells of each task, newest first. */
export async function tasks(manager: PrivateDocker): Promise<readonly string[]> {
  const format = '{{.Name}} {{.ID}} {{.DesiredState}} {{.CurrentState}} {{.Error}}';
  return (await manager.mustDocker(['service', 'ps', '--no-trunc', '--format', format, 'db'])).split('\n');
}

/** Asks until it is so: a swarm tells of tasks only to those who ask. */
export async function untilTasks(manager: PrivateDocker, isSo: (tasks: readonly string[]) => boolean): Promise<void> {
  using limit = deadline(taskPatienceMs, 'waiting for tasks of the swarm');
  for (let seen = await tasks(manager); !isSo(seen); seen = await tasks(manager)) {
    await pause(200, limit.signal).catch((error: unknown) => {
      throw new Error(`the tasks are not as they should be: ${seen.join('; ')}`, { cause: error });
    });
  }
}

/** Until this node runs so many containers: one that ends has let its volume go. */
export async function untilContainers(node: PrivateDocker, count: number): Promise<readonly string[]> {
  using limit = deadline(taskPatienceMs, `${count} containers on a node`);
  for (;;) {
    const ids = (await node.mustDocker(['ps', '--quiet'])).split('\n').filter((id) => id !== '');
    if (ids.length === count) return ids;
    await pause(200, limit.signal);
  }
}
