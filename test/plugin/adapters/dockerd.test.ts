/** A process of dockerd's name, in mount namespaces that our mounts reach, and in some that they do not. */
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { silentLogger } from '../../../common/logging.ts';
import { unmount } from '../../../native/mounts.ts';
import { Dockerd } from '../../../plugin/adapters/dockerd.ts';
import { ConnectionScene } from './connection-scene.ts';
import { mountedDisk } from './mounted-disk.ts';

async function open(t: ExecutionContext): Promise<{ readonly scene: ConnectionScene; readonly dockerd: Dockerd }> {
  const scene = await ConnectionScene.open(t);
  const dockerd = new Dockerd(silentLogger);
  scene.onConnection = (connection) => void dockerd.connected(connection);
  return { scene, dockerd };
}

test.serial('dockerd: in a namespace that our mounts do not reach, it does not see them', async (t) => {
  const { scene, dockerd } = await open(t);
  const child = scene.dockerdApart(t);
  await scene.made(child);
  await using disk = await mountedDisk();
  t.true(await dockerd.isHidden(disk.path));
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.false(await dockerd.isHidden(disk.path), 'nobody is left who could be given an empty folder');
  await unmount(disk.target);
});

test.serial('dockerd: in a namespace that our mounts reach, or that has a copy of them, it sees them', async (t) => {
  const { scene, dockerd } = await open(t);
  const slave = scene.dockerdInSlave(t);
  await scene.made(slave);
  await using disk = await mountedDisk();
  t.false(await dockerd.isHidden(disk.path));
  const copy = scene.dockerdApart(t, disk.target);
  await scene.made(copy);
  t.false(await dockerd.isHidden(disk.path));
  for (const child of [slave, copy]) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await unmount(disk.target);
});

test.serial(
  'dockerd: nobody is told to be without our mounts before dockerd has connected, or in our own namespace',
  async (t) => {
    const { scene, dockerd } = await open(t);
    t.false(await dockerd.isHidden('/dev/none'));
    await scene.made(scene.dockerd(t));
    t.false(await dockerd.isHidden('/dev/none'));
  },
);
