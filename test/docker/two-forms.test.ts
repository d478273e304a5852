/** From the plugin of a package to the managed one and back: the same volumes, with what is in them. */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { loopsBelow } from './harness/loops.ts';
import { PrivateDocker } from './harness/private-docker.ts';
import { create, hold, inspect, sh } from './support.ts';

test('docker: from the legacy plugin to the managed one and back, volumes and what is in them stay', async (t) => {
  await using docker = await PrivateDocker.start({ isManaged: false });
  await docker.startPlugin();
  await create(docker, 'db', 'size=64mb', 'fstype=ext4');
  const container = await hold(docker, 'db');
  await docker.mustDocker(['exec', container, 'sh', '-c', 'echo legacy > /data/log']);
  // A container is bound to the name of its driver, also one that is stopped.
  await docker.mustDocker(['rm', '--force', container]);
  await docker.stopPlugin();
  await t.throwsAsync(stat(docker.pluginSocket), { code: 'ENOENT' });
  t.deepEqual(await loopsBelow(docker.datastore), [], 'what stopped let its disks go');

  docker.isManaged = true;
  await docker.startPlugin();
  await forget(docker);
  t.like((await inspect(docker, 'db')).Status, { capacity: { size: '64MB' }, fstype: 'ext4' });
  await sh(docker, 'db', 'echo managed >> /data/log');
  t.deepEqual(await loopsBelow(docker.datastore), []);

  await docker.stopPlugin();
  await docker.mustDocker(['plugin', 'rm', 'vmdk']);
  docker.isManaged = false;
  await docker.startPlugin();
  await forget(docker);
  t.is(await sh(docker, 'db', 'cat /data/log'), 'legacy\nmanaged');
  await docker.mustDocker(['volume', 'rm', 'db']);
  t.deepEqual(await loopsBelow(docker.datastore), []);
});

/** dockerd holds each volume to the name of its driver, "vmdk" or "vmdk:latest", until its own record of volumes is gone. */
async function forget(docker: PrivateDocker): Promise<void> {
  await docker.dockerd.stop();
  await rm(join(docker.folder, 'data/volumes/metadata.db'));
  await docker.startDockerd();
}
