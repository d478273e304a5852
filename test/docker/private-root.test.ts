/** A host whose administrator, or whose init, keeps mounts from being propagated. */
import test from 'ava';
import { PrivateDocker } from './harness/private-docker.ts';
import { create, hold, sh } from './support.ts';

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
