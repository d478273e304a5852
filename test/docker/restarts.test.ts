/** dockerd and the plugin end and come back under running containers; nothing is lost and references stay exact. */
import { stat } from 'node:fs/promises';
import test from 'ava';
import { loopsBelow } from './harness/loops.ts';
import { PrivateDocker } from './harness/private-docker.ts';
import { hold, inspect, sh, untilRunning } from './support.ts';

async function start(options: { liveRestore: boolean }): Promise<PrivateDocker> {
  const docker = await PrivateDocker.start(options);
  await docker.startPlugin();
  await docker.mustDocker(['volume', 'create', '--driver', 'vmdk', 'db']);
  return docker;
}

test('restarts: the plugin is killed and started under a running container, whose I/O goes on', async (t) => {
  await using docker = await start({ liveRestore: false });
  const id = await hold(docker, 'db');
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo before > /data/before']);
  await docker.killPlugin();
  await docker.mustDocker(['exec', id, 'sh', '-c', 'cat /data/before; echo while > /data/while']);
  await docker.startPlugin();
  t.is((await inspect(docker, 'db')).Status['references'], 1);
  t.is(await docker.mustDocker(['exec', id, 'cat', '/data/while']), 'while');
  await docker.mustDocker(['rm', '--force', id]);
  t.deepEqual(await loopsBelow(docker.datastore), []);
  t.is(await sh(docker, 'db', 'cat /data/before'), 'before');
});

test('restarts: an orderly stop of the plugin leaves its mounts, and removes its socket', async (t) => {
  await using docker = await start({ liveRestore: false });
  const id = await hold(docker, 'db');
  await docker.stopPlugin();
  await t.throwsAsync(stat(docker.pluginSocket), { code: 'ENOENT' });
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo while > /data/while']);
  await docker.startPlugin();
  t.is((await inspect(docker, 'db')).Status['references'], 1);
  await docker.mustDocker(['rm', '--force', id]);
  t.deepEqual(await loopsBelow(docker.datastore), []);
});

test('restarts: dockerd killed without live-restore repeats the same mount ID, and leaks no reference', async (t) => {
  await using docker = await start({ liveRestore: false });
  const id = await hold(docker, 'db', '--restart', 'always');
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo kept > /data/kept']);
  await docker.killDockerd();
  await docker.startDockerd();
  await untilRunning(docker, id);
  t.is(await docker.mustDocker(['exec', id, 'cat', '/data/kept']), 'kept');
  t.is((await inspect(docker, 'db')).Status['references'], 1);
  await docker.mustDocker(['rm', '--force', id]);
  t.deepEqual(await loopsBelow(docker.datastore), []);
});

test('restarts: dockerd killed with live-restore keeps the container and its volume', async (t) => {
  await using docker = await start({ liveRestore: true });
  const id = await hold(docker, 'db');
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo kept > /data/kept']);
  await docker.killDockerd();
  await docker.startDockerd();
  t.is(await docker.mustDocker(['exec', id, 'cat', '/data/kept']), 'kept');
  t.is((await inspect(docker, 'db')).Status['references'], 1);
  await docker.mustDocker(['rm', '--force', id]);
  t.deepEqual(await loopsBelow(docker.datastore), []);
});
