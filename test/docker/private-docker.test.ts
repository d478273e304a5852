import { access } from 'node:fs/promises';
import { readdir, readFile } from 'node:fs/promises';
import test from 'ava';
import { images } from './harness/images.ts';
import { loopsBelow } from './harness/loops.ts';
import { PrivateDocker } from './harness/private-docker.ts';

async function commandLines(): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
}

test('private docker: a container reads what another wrote into a local volume', async (t) => {
  await using docker = await PrivateDocker.start();
  const run = ['run', '--rm', '--network', 'none', '--volume', 'kept:/data'];
  await docker.mustDocker([...run, images.plain, 'sh', '-c', 'echo hello > /data/note']);
  t.is(await docker.mustDocker([...run, images.plain, 'cat', '/data/note']), 'hello');
});

test('private docker: containers are killed by its stop, and nothing is left', async (t) => {
  const docker = await PrivateDocker.start({ liveRestore: true });
  const { folder } = docker;
  await docker.mustDocker(['run', '--detach', '--network', 'none', images.withData, 'sleep', '1000']);
  await docker.stop();
  t.deepEqual(
    (await commandLines()).filter((line) => line.includes(folder)),
    [],
  );
  t.deepEqual(await loopsBelow(folder), []);
  t.notRegex(await readFile('/proc/self/mountinfo', 'utf8'), new RegExp(folder));
  await t.throwsAsync(access(folder), { code: 'ENOENT' });
});

test('private docker: after a kill it starts again, with its containers and volumes', async (t) => {
  await using docker = await PrivateDocker.start({ liveRestore: true });
  const id = await docker.mustDocker(['run', '--detach', '--network', 'none', images.plain, 'sleep', '1000']);
  await docker.killDockerd();
  await docker.startDockerd();
  t.is(await docker.mustDocker(['ps', '--quiet', '--no-trunc']), id);
  await docker.restartDockerd();
  t.is(await docker.mustDocker(['ps', '--quiet', '--no-trunc']), id);
});
