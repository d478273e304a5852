/**
 * Restarts under containers that hold one volume once, twice, and by its short and its full name. Afterwards the
 * references are as many as dockerd's uses, each container goes on with its data, and their end lets the disk go.
 */
import test, { type ExecutionContext } from 'ava';
import { images } from './harness/images.ts';
import { loopsBelow } from './harness/loops.ts';
import { PrivateDocker } from './harness/private-docker.ts';
import { create, inspect, untilRunning } from './support.ts';

/** A container that appends to a file of its own, flushing each line, and ends at the first error. */
const writer = 'i=0; while echo $((i+=1)) >> /data/$HOSTNAME && sync /data/$HOSTNAME; do sleep 0.05; done';

async function containers(docker: PrivateDocker): Promise<readonly string[]> {
  const uses = [['db:/data'], ['db:/data', 'db@local:/again'], ['db:/data', 'db:/twice']];
  const ids: string[] = [];
  for (const volumes of uses) {
    const mounts = volumes.flatMap((volume) => ['--volume', volume]);
    const args = ['run', '--detach', '--restart', 'always', '--network', 'none', ...mounts];
    ids.push(await docker.mustDocker([...args, images.plain, 'sh', '-c', writer]));
  }
  return ids;
}

const usesOfAll = 5;

test('restarts of many uses: dockerd is killed, and one container started again beside another that runs', async (t) => {
  const docker = await PrivateDocker.start();
  t.teardown(() => docker.stop());
  await docker.startPlugin();
  await create(docker, 'db');
  const run = ['run', '--detach', '--network', 'none', '--volume', 'db:/data'];
  const comesBack = await docker.mustDocker([...run, '--restart', 'always', images.plain, 'sh', '-c', writer]);
  const isStarted = await docker.mustDocker([...run, images.plain, 'sh', '-c', writer]);
  await docker.killDockerd();
  await docker.startDockerd();
  await untilRunning(docker, comesBack);
  await docker.mustDocker(['start', isStarted]);
  t.is((await inspect(docker, 'db')).Status['references'], 2);
  await docker.mustDocker(['rm', '--force', comesBack, isStarted]);
  t.deepEqual(await loopsBelow(docker.datastore), []);
});

async function lines(docker: PrivateDocker, id: string): Promise<number> {
  return Number(await docker.mustDocker(['exec', id, 'sh', '-c', 'wc -l < /data/$HOSTNAME']));
}

async function underContainers(
  t: ExecutionContext,
  liveRestore: boolean,
  disturb: (docker: PrivateDocker) => Promise<unknown>,
): Promise<void> {
  const docker = await PrivateDocker.start({ liveRestore });
  t.teardown(() => docker.stop());
  await docker.startPlugin();
  await create(docker, 'db');
  const ids = await containers(docker);
  for (const id of ids) await untilRunning(docker, id);
  t.is((await inspect(docker, 'db')).Status['references'], usesOfAll);
  const before = await Promise.all(ids.map((id) => lines(docker, id)));
  const starts = await startTimes(docker, ids);
  await disturb(docker);
  for (const id of ids) await untilRunning(docker, id);
  t.is((await inspect(docker, 'db')).Status['references'], usesOfAll);
  const after = await Promise.all(ids.map((id) => lines(docker, id)));
  t.true(
    after.every((count, index) => count >= (before[index] ?? Infinity)),
    `lines before ${before.join()}, after ${after.join()}`,
  );
  if (liveRestore) t.deepEqual(await startTimes(docker, ids), starts, 'no container ended, so none saw an error');
  await docker.mustDocker(['rm', '--force', ...ids]);
  t.deepEqual(await loopsBelow(docker.datastore), []);
}

async function startTimes(docker: PrivateDocker, ids: readonly string[]): Promise<string> {
  return docker.mustDocker(['inspect', '--format', '{{.State.StartedAt}}', ...ids]);
}

const disturbances: readonly (readonly [string, boolean, (docker: PrivateDocker) => Promise<unknown>])[] = [
  [
    'the plugin is killed',
    true,
    async (docker) => {
      await docker.killPlugin();
      await docker.startPlugin();
    },
  ],
  [
    'dockerd is killed, its containers live on',
    true,
    async (docker) => {
      await docker.killDockerd();
      await docker.startDockerd();
    },
  ],
  [
    'dockerd and plugin are killed, containers live on',
    true,
    async (docker) => {
      await Promise.all([docker.killDockerd(), docker.killPlugin()]);
      await docker.startPlugin();
      await docker.startDockerd();
    },
  ],
  [
    'dockerd is killed, and kills and starts its containers',
    false,
    async (docker) => {
      await docker.killDockerd();
      await docker.startDockerd();
    },
  ],
  ['dockerd is restarted in order', false, (docker) => docker.restartDockerd()],
  [
    'everything is restarted, the plugin killed',
    false,
    async (docker) => {
      await docker.killDockerd();
      await docker.killPlugin();
      await docker.startPlugin();
      await docker.startDockerd();
    },
  ],
];

for (const [what, liveRestore, disturb] of disturbances) {
  test(`restarts of many uses: ${what}`, async (t) => {
    await underContainers(t, liveRestore, disturb);
  });
}
