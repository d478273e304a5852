/** A host whose administrator, or whose init, keeps mounts from being propagated. */
import { join } from 'node:path';
import process from 'node:process';
import test from 'ava';
import { withOwnMounts } from '../../scripts/own-mounts.ts';
import { accepts } from './harness/answering.ts';
import type { Daemon } from './harness/daemon.ts';
import { PrivateDocker } from './harness/private-docker.ts';
import { create, hold, runArgs, sh } from './support.ts';

test('docker: on a host whose / is private, containers see the disk and not an empty folder', async (t) => {
  await using docker = await PrivateDocker.start({ propagation: 'private' });
  const { stdout } = await docker.inside(['findmnt', '--noheadings', '--output', 'PROPAGATION', '/']);
  t.is(stdout.trim(), 'private');
  await docker.startPlugin();
  await create(docker, 'db');
  const id = await hold(docker, 'db');
  t.regex(await docker.mustDocker(['exec', id, 'grep', ' /data ', '/proc/mounts']), /^\/dev\/loop\d+ \/data ext4 /);
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo kept > /data/note']);
  await docker.stopPlugin();
  await docker.startPlugin();
  await docker.mustDocker(['rm', '--force', id]);
  t.is(await sh(docker, 'db', 'cat /data/note'), 'kept');
});

test('docker: a plugin whose mounts do not reach dockerd gives no volume away', async (t) => {
  await using docker = await PrivateDocker.start({ isManaged: false });
  const hidden = await startHiddenPlugin(docker);
  await create(docker, 'db');
  const { code, stderr } = await docker.docker(runArgs('db', 'touch', '/data/lost'));
  t.not(code, 0);
  t.regex(stderr, /volume db@local is not given away, because what this plugin mounts does not reach dockerd/);
  await hidden.stop();
  await docker.startPlugin();
  t.is(await sh(docker, 'db', 'test -e /data/lost || echo none'), 'none');
});

/** Nobody else sees what it mounts, as if its service manager had it so. */
async function startHiddenPlugin(docker: PrivateDocker): Promise<Daemon> {
  const program = join(import.meta.dirname, '../../bin/vmdk-plugin');
  const { mountRoot, stateFolder, datastore, adminSocket } = docker;
  const places = ['--mount-root', mountRoot, '--state-dir', stateFolder, '--datastore', datastore];
  const args = ['--socket', '/run/docker/plugins/vmdk.sock', '--embedded', '--admin-socket', adminSocket, ...places];
  const command = withOwnMounts([program, ...args]);
  const plugin = await docker.startInside('hidden-plugin', command, process.env);
  await plugin.waitUntil(() => accepts(docker.pluginSocket), 10_000);
  return plugin;
}

test('docker: a managed plugin that lived on while dockerd, without containers, forgot its mounts gives no volume away', async (t) => {
  await using docker = await PrivateDocker.start({ isManaged: true, liveRestore: true, propagation: 'private' });
  await docker.startPlugin();
  await create(docker, 'db');
  await sh(docker, 'db', 'echo kept > /data/note');
  await docker.restartDockerd();
  const { code, stderr } = await docker.docker(runArgs('db', 'touch', '/data/lost'));
  t.not(code, 0);
  t.regex(stderr, /does not reach dockerd.*docker plugin disable --force and enable/);
  await docker.stopPlugin();
  await docker.startPlugin();
  t.is(await sh(docker, 'db', 'cat /data/note; test ! -e /data/lost'), 'kept');
});
