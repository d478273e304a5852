/**
 * Histories of Mounts and Unmounts that do not add up, as a real dockerd 20.10 makes them. After each, what a container
 * uses is mounted, and what none uses is neither mounted nor attached. Those that only another dockerd makes are
 * replayed in test/plugin/service/anomalies.test.ts.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { deadline, pause } from '../../common/deadline.ts';
import { loopsBelow } from './harness/loops.ts';
import { PrivateDocker } from './harness/private-docker.ts';
import { create, hold, inspect, mountedPath, sh, untilRunning } from './support.ts';

/** Short, so that the sweeper can be seen at work. */
const sweep = { more: ['--sweep-grace-ms', '1000'] };

async function start(t: ExecutionContext, liveRestore: boolean): Promise<PrivateDocker> {
  const docker = await PrivateDocker.start({ liveRestore });
  t.teardown(() => docker.stop());
  await docker.startPlugin(sweep);
  await create(docker, 'db');
  return docker;
}

async function references(docker: PrivateDocker): Promise<unknown> {
  return (await inspect(docker, 'db')).Status['references'];
}

async function isAttached(docker: PrivateDocker): Promise<boolean> {
  return (await loopsBelow(docker.datastore)).length > 0;
}

async function untilDetached(docker: PrivateDocker): Promise<void> {
  using limit = deadline(20_000, 'the sweeping of the volume');
  while (await isAttached(docker)) await pause(100, limit.signal);
}

async function copyIn(docker: PrivateDocker, id: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'vmdk-copy-'));
  await writeFile(join(folder, 'copied'), 'copied\n');
  await docker.mustDocker(['cp', join(folder, 'copied'), `${id}:/data/copied`]);
  await rm(folder, { recursive: true });
}

test('anomalies: cp on a running container mounts a live ID again; the container keeps its volume, and its end lets it go', async (t) => {
  const docker = await start(t, false);
  const id = await hold(docker, 'db');
  await copyIn(docker, id);
  t.is(await references(docker), 1);
  t.is(await docker.mustDocker(['exec', id, 'cat', '/data/copied']), 'copied');
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo on > /data/on']);
  await docker.mustDocker(['rm', '--force', id]);
  t.false(await isAttached(docker));
  t.is(await sh(docker, 'db', 'cat /data/on'), 'on');
});

test('anomalies: dockerd is killed, and its container removed instead of started; the volume is swept, or removed at once', async (t) => {
  const docker = await start(t, false);
  await create(docker, 'other');
  const ids = [await hold(docker, 'db'), await hold(docker, 'other')];
  await docker.killDockerd();
  await docker.startDockerd();
  await docker.mustDocker(['rm', '--force', ...ids]);
  await docker.mustDocker(['volume', 'rm', 'other']);
  await untilDetached(docker);
  t.is(await references(docker), 0);
});

test('anomalies: a container ends while dockerd is down; its volume is let go, or mounted once when it starts again', async (t) => {
  const docker = await start(t, true);
  const id = await hold(docker, 'db');
  const pid = Number(await docker.mustDocker(['inspect', '--format', '{{.State.Pid}}', id]));
  await docker.killDockerd();
  process.kill(pid, 'SIGKILL');
  await docker.startDockerd();
  await docker.mustDocker(['start', id]);
  await untilRunning(docker, id);
  t.is(await references(docker), 1);
  await docker.mustDocker(['stop', '--time', '0', id]);
  await untilDetached(docker);
  t.is(await references(docker), 0);
});

test('anomalies: after a live restore, cp and stop: the Unmount that never comes is made up for', async (t) => {
  const docker = await start(t, true);
  const id = await hold(docker, 'db');
  await docker.killDockerd();
  await docker.startDockerd();
  await copyIn(docker, id);
  await docker.mustDocker(['exec', id, 'sh', '-c', 'cat /data/copied && echo on > /data/on']);
  await docker.mustDocker(['stop', '--time', '0', id]);
  await untilDetached(docker);
  t.is(await sh(docker, 'db', 'cat /data/on'), 'on');
});

test('anomalies: an Unmount that fails is reported, leaves the disk attached, and is made up for', async (t) => {
  const docker = await start(t, false);
  const id = await hold(docker, 'db');
  const path = await mountedPath(docker, 'db');
  const user = docker.inside(['sh', '-c', `cd ${path} && echo in && sleep 4`]);
  const mounts = async (): Promise<boolean> => (await docker.mounts()).some((line) => line.includes(` ${path} `));
  await docker.mustDocker(['stop', '--time', '0', id]);
  t.true(await mounts(), 'somebody works in it');
  t.is(await references(docker), 0);
  await docker.mustDocker(['start', id]);
  t.is(await references(docker), 1);
  await user;
  await docker.mustDocker(['rm', '--force', id]);
  await untilDetached(docker);
  t.false(await mounts());
});

test('anomalies: the plugin is down while its container stops; the same ID mounted again counts once', async (t) => {
  const docker = await start(t, false);
  const id = await hold(docker, 'db');
  await docker.takePluginAway();
  await docker.mustDocker(['stop', '--time', '0', id], { timeoutMs: 60_000 });
  await docker.startPlugin(sweep);
  await docker.mustDocker(['start', id]);
  t.is(await references(docker), 1);
  await docker.mustDocker(['rm', '--force', id]);
  await untilDetached(docker);
});

test('anomalies: a running container keeps its volume, whatever the references say, as long as it runs', async (t) => {
  const docker = await start(t, false);
  const id = await hold(docker, 'db');
  // Several looks of the sweeper; there is no event for something that does not happen.
  using limit = deadline(10_000, 'looking on');
  await pause(3_000, limit.signal);
  t.is(await references(docker), 1);
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo on > /data/on && sync']);
  await docker.mustDocker(['rm', '--force', id]);
  t.is(await sh(docker, 'db', 'cat /data/on'), 'on');
});
