/** The package as users have it: created, set, enabled, removed and created again by docker's own commands. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { images } from '../docker/harness/images.ts';
import { packagedPlugin } from '../docker/harness/managed-plugin.ts';
import { PrivateDocker } from '../docker/harness/private-docker.ts';
import { create, hold, inspect, sh, untilRunning } from '../docker/support.ts';

const slowly = { timeoutMs: 60_000 };
/** The native parts may have to be compiled first. */
const makingMs = 300_000;

test.before(async (t) => {
  t.timeout(makingMs);
  await packagedPlugin();
});

/** A dockerd that knows the plugin, which is not enabled yet. */
async function start(t: ExecutionContext, liveRestore = false): Promise<PrivateDocker> {
  const docker = await PrivateDocker.start({ isManaged: false, liveRestore });
  t.teardown(() => docker.stop());
  await createPlugin(docker);
  return docker;
}

async function createPlugin(docker: PrivateDocker): Promise<void> {
  await docker.mustDocker(['plugin', 'create', 'vmdk:latest', await packagedPlugin()], slowly);
  const places = [`state.source=${docker.stateFolder}`, `docker.source=${docker.folder}`];
  await docker.mustDocker(['plugin', 'set', 'vmdk', 'VMDK_EMBEDDED=true', ...places]);
}

async function enable(docker: PrivateDocker): Promise<void> {
  await docker.mustDocker(['plugin', 'enable', 'vmdk'], slowly);
}

async function logOfDockerd(docker: PrivateDocker): Promise<string> {
  return readFile(join(docker.folder, 'dockerd.log'), 'utf8');
}

test('managed: created and enabled it keeps data from one container to the next, and over its own removal', async (t) => {
  const docker = await start(t);
  await enable(docker);
  await create(docker, 'db');
  await sh(docker, 'db', 'echo kept > /data/kept');
  const { Driver, Scope } = await inspect(docker, 'db');
  t.deepEqual([Driver, Scope], ['vmdk:latest', 'local']);
  await docker.mustDocker(['plugin', 'disable', '--force', 'vmdk'], slowly);
  await docker.mustDocker(['plugin', 'rm', '--force', 'vmdk']);
  await createPlugin(docker);
  await enable(docker);
  t.is(await sh(docker, 'db', 'cat /data/kept'), 'kept');
  await docker.mustDocker(['volume', 'rm', 'db']);
  await docker.mustDocker(['plugin', 'disable', 'vmdk'], slowly);
});

test('managed: what is set wrong is said where the user looks, and enabling works once it is set right', async (t) => {
  const docker = await start(t);
  await docker.mustDocker(['plugin', 'set', 'vmdk', 'state.source=/nonexistent']);
  const missing = await docker.docker(['plugin', 'enable', 'vmdk'], slowly);
  t.regex(missing.stderr, /\/nonexistent.*no such file or directory/);
  await docker.mustDocker(['plugin', 'set', 'vmdk', `state.source=${docker.stateFolder}`, 'VMDK_LOG_LEVEL=loud']);
  t.not((await docker.docker(['plugin', 'enable', 'vmdk'], slowly)).code, 0);
  const sentences = (await logOfDockerd(docker)).match(/vmdk-plugin: configuration: key logLevel has the value/g) ?? [];
  t.is(sentences.length, 1, 'it is not started again and again');
  const unknown = await docker.docker(['plugin', 'set', 'vmdk', 'VMDK_NONSENSE=1']);
  t.regex(unknown.stderr, /VMDK_NONSENSE.*not found/);
  await docker.mustDocker(['plugin', 'set', 'vmdk', 'VMDK_LOG_LEVEL=warn']);
  await enable(docker);
  await create(docker, 'db');
});

test('managed: on a host whose / is mounted private, containers get the volume', async (t) => {
  const docker = await start(t);
  t.is((await docker.inside(['mount', '--make-rprivate', '/'])).code, 0);
  await enable(docker);
  await create(docker, 'db');
  await sh(docker, 'db', 'echo kept > /data/kept');
  const id = await hold(docker, 'db', '--restart', 'always');
  await docker.restartDockerd();
  await untilRunning(docker, id);
  t.is(await docker.mustDocker(['exec', id, 'cat', '/data/kept']), 'kept');
});

test('managed: without its API a container of another user is seen, and keeps its volume', async (t) => {
  const docker = await start(t);
  await docker.mustDocker(['plugin', 'set', 'vmdk', 'VMDK_DOCKER_SOCKET=', 'VMDK_SWEEP_GRACE_MS=200']);
  await enable(docker);
  await create(docker, 'db', 'mode=0777');
  const run = ['run', '--detach', '--network', 'none', '--user', '1000', '--volume', 'db:/data', images.plain];
  const id = await docker.mustDocker([...run, 'sleep', '1000']);
  const other = await hold(docker, 'db');
  await docker.mustDocker(['rm', '--force', other]);
  // The sweeper looks at each volume several times in its grace time: here as often as another comes and goes.
  for (const round of [1, 2, 3]) await sh(docker, 'db', `echo ${round} > /data/round${round}`);
  t.is((await inspect(docker, 'db')).Status['references'], 1);
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo on > /data/on']);
  t.is(await sh(docker, 'db', 'cat /data/on'), 'on');
  t.notRegex(await logOfDockerd(docker), /a volume that nobody seems to use/, 'it was never taken for unused');
});
