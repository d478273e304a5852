/** Services of a swarm whose replicas have a volume each: on one node, and on two that share a datastore. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { place } from '../esx-service/support/place.ts';
import { startProgram } from '../support/program.ts';
import { runCommand } from '../../scripts/command.ts';
import { detachLoopsBelow, loopsBelow } from './harness/loops.ts';
import { PrivateDocker } from './harness/private-docker.ts';
import { connect, createService, initSwarm, joinSwarm, tasks, untilContainers, untilTasks } from './swarm-node.ts';
import { inspect, sh } from './support.ts';

const vmdkops = join(import.meta.dirname, '../../bin/vmdkops');

function running(count: number): (seen: readonly string[]) => boolean {
  return (seen) => seen.filter((task) => task.includes(' Running Running ')).length === count;
}

test('swarm: on one node each replica has its volume, finds it again in its next task, and leaves it behind', async (t) => {
  await using docker = await PrivateDocker.start({ hasOwnNetwork: true });
  await docker.startPlugin();
  await initSwarm(docker, '127.0.0.1');
  await createService(docker, '--replicas', '2');
  await untilTasks(docker, running(2));
  t.like(await inspect(docker, 'db-1'), { Driver: docker.driverName, Scope: 'local', Status: { references: 1 } });
  t.like((await inspect(docker, 'db-2')).Status, { capacity: { size: '64MB' } });
  const before = await tasks(docker);
  await docker.mustDocker(['service', 'update', '--detach', '--force', 'db']);
  await untilTasks(docker, (seen) => running(2)(seen) && before.every((task) => !seen.includes(task)));
  await docker.mustDocker(['service', 'rm', 'db']);
  await untilContainers(docker, 0);
  t.deepEqual(await loopsBelow(docker.datastore), []);
  t.regex(await docker.mustDocker(['volume', 'ls']), /vmdk\S*\s+db-1\n.*vmdk\S*\s+db-2/);
  t.is((await sh(docker, 'db-1', 'cat /data/log')).split('\n').length, 2);
});

interface Nodes {
  readonly alpha: PrivateDocker;
  readonly beta: PrivateDocker;
  readonly adminSocket: string;
  readonly datastore: string;
}

/** A service with two VMs, and a swarm of both. */
async function twoNodes(t: ExecutionContext): Promise<Nodes> {
  const at = await place(t);
  const datastore = at.path('local');
  await mkdir(datastore);
  const vms = ['alpha', 'beta'].map((name) => ({ name, socket: at.path(`${name}.sock`) }));
  const adminSocket = at.path('admin.sock');
  await writeFile(at.path('service.json'), JSON.stringify({ datastores: { local: datastore }, vms, adminSocket }));
  await startProgram(t, 'vmdkopsd', ['--config', at.path('service.json')]).says('started');
  const nodes = await Promise.all(
    vms.map(async ({ socket }) => {
      // The managed one of this harness is embedded, and two nodes must share their service.
      const node = await PrivateDocker.start({ hasOwnNetwork: true, isManaged: false });
      t.teardown(() => node.stop());
      await node.startPlugin({ args: ['--service', `unix://${socket}`] });
      return node;
    }),
  );
  const [alpha, beta] = nodes as [PrivateDocker, PrivateDocker];
  const addresses = { manager: '192.0.2.1', node: '192.0.2.2' };
  await connect(alpha, beta, addresses);
  await initSwarm(alpha, addresses.manager);
  await joinSwarm(alpha, beta, addresses);
  return { alpha, beta, adminSocket, datastore };
}

function nodeId(docker: PrivateDocker): Promise<string> {
  return docker.mustDocker(['info', '--format', '{{.Swarm.NodeID}}']);
}

test('swarm: a task moves to another node with its data; one of a dead node is refused until its disk is let go', async (t) => {
  const { alpha, beta, adminSocket, datastore } = await twoNodes(t);
  const [first, second] = [await nodeId(alpha), await nodeId(beta)];
  await createService(alpha, '--constraint', `node.id==${first}`);
  await untilTasks(alpha, running(1));
  t.is((await inspect(alpha, 'db-1')).Scope, 'global');
  const move = ['--constraint-rm', `node.id==${first}`, '--constraint-add', `node.id==${second}`];
  await alpha.mustDocker(['service', 'update', '--detach', ...move, 'db']);
  await untilContainers(beta, 1);
  t.like((await inspect(alpha, 'db-1')).Status, { 'attached to VM': 'beta' });
  await beta.killDockerd();
  await beta.killPlugin();
  await beta.stop();
  t.is((await loopsBelow(datastore)).length, 1);
  await alpha.mustDocker(['service', 'update', '--detach', '--constraint-rm', `node.id==${second}`, 'db']);
  await untilTasks(alpha, (seen) => seen.some((task) => /db-1@local.*VM beta/.test(task)));
  await detachLoopsBelow(datastore);
  t.is((await runCommand([vmdkops, '--socket', adminSocket, 'check'])).code, 0);
  const [id = ''] = await untilContainers(alpha, 1);
  t.deepEqual((await alpha.mustDocker(['exec', id, 'cat', '/data/log'])).split('\n'), [first, second, first]);
  await alpha.mustDocker(['service', 'rm', 'db']);
  await untilContainers(alpha, 0);
  t.deepEqual(await loopsBelow(datastore), []);
});
