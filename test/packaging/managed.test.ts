/** The package as users have it: created, set, enabled, removed and created again by docker's own commands. */
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import test, { type ExecutionContext } from 'ava';
import { Daemon } from '../docker/harness/daemon.ts';
import { images } from '../docker/harness/images.ts';
import { packagedPlugin } from '../docker/harness/managed-plugin.ts';
import { PrivateDocker, type PrivateDockerOptions } from '../docker/harness/private-docker.ts';
import { askPlugin, create, hold, inspect, sh, untilRunning } from '../docker/support.ts';

const slowly = { timeoutMs: 60_000 };
/** What issue and documents promise: dockerd gives up after 30 s with a plugin that was enabled by hand. */
const longestAnswerMs = 25_000;
const root = dirname(dirname(import.meta.dirname));
/** The native parts may have to be compiled first. */
const makingMs = 300_000;

test.before(async (t) => {
  t.timeout(makingMs);
  await packagedPlugin();
});

/** A dockerd that knows the plugin, which is not enabled yet. */
async function start(t: ExecutionContext, options: PrivateDockerOptions = {}): Promise<PrivateDocker> {
  const docker = await PrivateDocker.start({ ...options, isManaged: false });
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
  const docker = await start(t, { propagation: 'private' });
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

test('managed: a service out of reach is named in dockerd’s log, and one that falls silent costs no request 25 s', async (t) => {
  const docker = await PrivateDocker.start({ isManaged: true });
  t.teardown(() => docker.stop());
  const socket = join(docker.stateFolder, 'service.sock');
  const options = { more: ['--embedded', 'false', '--service', `unix://${socket}`] };
  await t.throwsAsync(docker.startPlugin(options), { message: /vmdk\.sock: connect: no such file or directory/ });
  const log = await logOfDockerd(docker);
  t.regex(log, /Docker is not served before the service has answered; see that vmdkopsd runs there/);
  t.true(log.includes(socket));
  const service = await startService(docker, socket);
  t.teardown(() => service.kill9());
  await docker.startPlugin(options);
  await create(docker, 'db');
  process.kill(service.pid, 'SIGSTOP');
  const began = performance.now();
  const answers = await Promise.all([
    askPlugin(docker, 'VolumeDriver.Create', { Name: 'other', Opts: {} }),
    askPlugin(docker, 'VolumeDriver.Mount', { Name: 'db', ID: 'a' }),
  ]);
  t.true(performance.now() - began < longestAnswerMs);
  for (const { Err } of answers) t.regex(String(Err), /took longer than its caller waits/);
  process.kill(service.pid, 'SIGCONT');
  t.is(await sh(docker, 'db', 'echo kept > /data/kept && cat /data/kept'), 'kept');
});

async function startService(docker: PrivateDocker, socket: string): Promise<Daemon> {
  const [configFile, adminSocket] = [join(docker.folder, 'service.json'), join(docker.folder, 'service-admin.sock')];
  const vms = [{ name: 'guest', socket }];
  const config = { hypervisor: 'loop', datastores: { local: docker.datastore }, defaultDatastore: 'local', vms };
  await writeFile(configFile, JSON.stringify({ ...config, adminSocket }));
  const command = [join(root, 'bin/vmdkopsd'), '--config', configFile] as const;
  const logFile = join(docker.folder, 'service.log');
  return Daemon.start({ name: 'vmdkopsd', command, env: process.env, logFile });
}
