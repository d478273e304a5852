/** Docker's list of containers: from a real dockerd, and, where it must misbehave, from a stand-in. */
import { createServer, type RequestListener } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { silentLogger } from '../../../common/logging.ts';
import { DockerContainers } from '../../../plugin/adapters/docker-containers.ts';
import { PrivateDocker } from '../../docker/harness/private-docker.ts';
import { create, hold } from '../../docker/support.ts';

async function standIn(t: ExecutionContext, listener: RequestListener): Promise<DockerContainers> {
  const folder = await mkdtemp(join(tmpdir(), 'containers-'));
  const socketPath = join(folder, 'docker.sock');
  const listening = Promise.withResolvers<undefined>();
  const server = createServer(listener).listen(socketPath, () => listening.resolve(undefined));
  await listening.promise;
  t.teardown(async () => {
    server.close();
    server.closeAllConnections();
    await rm(folder, { recursive: true });
  });
  return new DockerContainers({ socketPath, driverName: 'vmdk', logger: silentLogger });
}

test('containers: a real dockerd lists the volumes of running containers, of our driver alone', async (t) => {
  const docker = await PrivateDocker.start();
  t.teardown(() => docker.stop());
  await docker.startPlugin();
  for (const name of ['running', 'stopped']) await create(docker, name);
  await docker.mustDocker(['volume', 'create', 'local']);
  await hold(docker, 'running', '--volume', 'local:/local');
  await docker.mustDocker(['stop', '--time', '0', await hold(docker, 'stopped')]);
  const socketPath = join(docker.folder, 'docker.sock');
  const of = (driverName: string): DockerContainers =>
    new DockerContainers({ socketPath, driverName, logger: silentLogger });
  t.deepEqual(await of('vmdk').volumesInUse(), ['running']);
  t.deepEqual(await of('local').volumesInUse(), ['local']);
});

test('containers: a stand-in for a managed plugin’s driver, whose name has a tag, is told by the name without', async (t) => {
  const mounts = ['vmdk:latest', 'vmdk', 'vmdk2', 'x/vmdk'].map((Driver) => ({ Type: 'volume', Name: Driver, Driver }));
  const list = JSON.stringify([{ Mounts: [...mounts, { Type: 'bind', Source: '/' }] }, { Mounts: [] }]);
  const containers = await standIn(t, (_, response) => response.end(list));
  t.deepEqual(await containers.volumesInUse(), ['vmdk:latest', 'vmdk']);
});

for (const [what, listener] of [
  ['refuses', (_, response) => response.writeHead(500).end('{"message":"no"}')],
  ['answers with something else', (_, response) => response.end('{}')],
  ['hangs up', (request) => request.socket.destroy()],
] satisfies [string, RequestListener][]) {
  test(`containers: a stand-in for Docker that ${what} tells nothing`, async (t) => {
    t.is(await (await standIn(t, listener)).volumesInUse(), undefined);
  });
}

test('containers: where Docker is not there, or not to be asked, nothing is told', async (t) => {
  const options = { driverName: 'vmdk', logger: silentLogger };
  t.is(await new DockerContainers({ ...options, socketPath: '/nowhere/docker.sock' }).volumesInUse(), undefined);
  t.is(await new DockerContainers({ ...options, socketPath: undefined }).volumesInUse(), undefined);
});
