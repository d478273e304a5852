/** The plugin's main job through a real dockerd: real VMDKs, loop devices, file systems and containers. */
import { stat } from 'node:fs/promises';
import anyTest, { type TestFn } from 'ava';
import { mustRun } from '../../scripts/command.ts';
import { images } from './harness/images.ts';
import { loopsBelow } from './harness/loops.ts';
import { PrivateDocker } from './harness/private-docker.ts';
import { askPlugin, create, diskPath, health, hold, inspect, mountLine, remove, runArgs, sh } from './support.ts';

const test = anyTest as TestFn<{ docker: PrivateDocker }>;

test.before(async (t) => {
  const docker = await PrivateDocker.start();
  t.context = { docker };
  await docker.startPlugin();
});

test.after.always(async (t) => {
  await t.context.docker.stop();
});

test.serial('docker: a volume is created, inspected, listed, used and removed', async (t) => {
  const { docker } = t.context;
  await create(docker, 'db', 'size=200mb');
  const { Driver, Scope, Status, Mountpoint } = await inspect(docker, 'db');
  t.is(Driver, docker.driverName);
  t.is(Scope, 'local', 'nobody but this machine sees an embedded datastore');
  t.is(Mountpoint, '');
  t.like(Status, {
    'created by VM': 'this-machine',
    status: 'detached',
    capacity: { size: '200MB', allocated: '0B' },
    datastore: 'local',
    fstype: 'ext4',
    diskformat: 'thin',
    'attach-as': 'independent_persistent',
    access: 'read-write',
    'clone-from': 'None',
  });
  t.regex(String(Status['created']), /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/);
  t.regex(await docker.mustDocker(['volume', 'ls']), new RegExp(`${docker.driverName}\\s+db`));
  await sh(docker, 'db', 'echo hello > /data/note; sync');
  t.is(await sh(docker, 'db', 'cat /data/note'), 'hello');
  t.is((await inspect(docker, 'db')).Status['status'], 'detached');
  await remove(docker, 'db');
  t.notRegex(await docker.mustDocker(['volume', 'ls']), /db/);
  await t.throwsAsync(stat(diskPath(docker, 'db')), { code: 'ENOENT' });
  await t.throwsAsync(stat(diskPath(docker, 'db', '-flat.vmdk')), { code: 'ENOENT' });
});

test.serial('docker: two containers share one volume, which stays until the second has gone', async (t) => {
  const { docker } = t.context;
  await create(docker, 'shared');
  const first = await hold(docker, 'shared');
  const second = await hold(docker, 'shared');
  await docker.mustDocker(['exec', first, 'sh', '-c', 'echo one > /data/one']);
  t.is(await docker.mustDocker(['exec', second, 'cat', '/data/one']), 'one');
  t.is((await inspect(docker, 'shared')).Status['references'], 2);
  t.is((await loopsBelow(docker.datastore)).length, 1);
  const refused = await docker.docker(['volume', 'rm', 'shared']);
  t.not(refused.code, 0);
  t.regex(refused.stderr, new RegExp(first));
  await docker.mustDocker(['rm', '--force', first]);
  t.is(await docker.mustDocker(['exec', second, 'cat', '/data/one']), 'one');
  t.is((await inspect(docker, 'shared')).Status['references'], 1);
  await docker.mustDocker(['rm', '--force', second]);
  t.deepEqual(await loopsBelow(docker.datastore), []);
  await remove(docker, 'shared');
});

test.serial('docker rule 8: the plugin itself refuses to remove a mounted volume, and names the mounts', async (t) => {
  const { docker } = t.context;
  await create(docker, 'guarded');
  const id = await hold(docker, 'guarded');
  const { Err } = await askPlugin(docker, 'VolumeDriver.Remove', { Name: 'guarded' });
  t.regex(String(Err), /guarded@local is mounted here by 1 mount\(s\) of Docker: [0-9a-f]{12}/);
  t.truthy(await stat(diskPath(docker, 'guarded')));
  await docker.mustDocker(['rm', '--force', id]);
  await remove(docker, 'guarded');
});

for (const [fstype, size] of [
  ['ext4', '50mb'],
  ['ext3', '50mb'],
  ['ext2', '50mb'],
  ['xfs', '300mb'],
  ['btrfs', '120mb'],
] as const) {
  test.serial(`docker: a volume with fstype=${fstype} keeps its data from one container to the next`, async (t) => {
    const { docker } = t.context;
    const name = `a volume with a long name of ${fstype}`;
    await create(docker, name, `fstype=${fstype}`, `size=${size}`);
    await sh(
      docker,
      name,
      'dd if=/dev/urandom of=/data/random bs=64k count=64 2>/dev/null; md5sum /data/random > /data/sum',
    );
    t.regex(await mountLine(docker, name), new RegExp(` - ${fstype} /dev/loop`));
    t.regex(await sh(docker, name, 'md5sum -c /data/sum'), /OK/);
    await remove(docker, name);
  });
}

for (const diskformat of ['thin', 'zeroedthick', 'eagerzeroedthick'] as const) {
  test.serial(
    `docker: diskformat=${diskformat} takes the space that it promises, in a VMDK that qemu-img accepts`,
    async (t) => {
      const { docker } = t.context;
      await create(docker, 'format', `diskformat=${diskformat}`, 'size=20mb');
      const { blocks } = await stat(diskPath(docker, 'format', '-flat.vmdk'));
      if (diskformat === 'thin') t.is(blocks, 0);
      else t.true(blocks * 512 >= 20 << 20);
      await sh(docker, 'format', 'echo data > /data/file');
      const info = JSON.parse(
        await mustRun(['qemu-img', 'info', '--output=json', diskPath(docker, 'format')]),
      ) as object;
      t.like(info, { format: 'vmdk', 'virtual-size': 20 << 20 });
      await mustRun(['qemu-img', 'check', diskPath(docker, 'format')]);
      await mustRun([
        'qemu-img',
        'compare',
        '-f',
        'vmdk',
        '-F',
        'raw',
        diskPath(docker, 'format'),
        diskPath(docker, 'format', '-flat.vmdk'),
      ]);
      await remove(docker, 'format');
    },
  );
}

test.serial('docker: access=read-only is read-only in the mount and in the device', async (t) => {
  const { docker } = t.context;
  await create(docker, 'fixed', 'access=read-only', 'mode=0777', 'uid=7');
  const written = await docker.docker(runArgs('fixed', 'sh', '-c', 'echo x > /data/x'));
  t.regex(written.stderr, /Read-only file system/);
  t.is(await sh(docker, 'fixed', 'stat -c "%u %a" /data'), '7 777');
  const id = await hold(docker, 'fixed');
  const [loop = ''] = await loopsBelow(docker.datastore);
  t.is((await mustRun(['blockdev', '--getro', loop])).trim(), '1');
  t.is((await inspect(docker, 'fixed')).Status['access'], 'read-only');
  await docker.mustDocker(['rm', '--force', id]);
  await remove(docker, 'fixed');
});

for (const fstype of ['ext4', 'xfs', 'btrfs'] as const) {
  test.serial(
    `docker: a clone of ${fstype} has its source's data, its own UUID, and a life of its own beside it`,
    async (t) => {
      const { docker } = t.context;
      await create(docker, 'source', `fstype=${fstype}`, 'size=300mb');
      await sh(docker, 'source', 'echo original > /data/file');
      await create(
        docker,
        'clone',
        'clone-from=source',
        'attach-as=persistent',
        'diskformat=zeroedthick',
        'size=320mb',
      );
      const source = await hold(docker, 'source');
      const clone = await hold(docker, 'clone');
      const read = (id: string): Promise<string> => docker.mustDocker(['exec', id, 'cat', '/data/file']);
      t.is(await read(clone), 'original');
      await docker.mustDocker(['exec', clone, 'sh', '-c', 'echo changed > /data/file; sync']);
      t.is(await read(source), 'original');
      t.is(await read(clone), 'changed');
      const blocks = async (id: string): Promise<number> =>
        Number((await docker.mustDocker(['exec', id, 'sh', '-c', 'df -k /data | tail -1'])).split(/\s+/)[1]);
      t.true((await blocks(clone)) > (await blocks(source)) + 10_000, 'the clone fills its larger disk');
      t.like((await inspect(docker, 'clone')).Status, {
        'clone-from': 'source@local',
        'attach-as': 'persistent',
        fstype,
      });
      const busy = await docker.docker(['volume', 'create', '-d', 'vmdk', '-o', 'clone-from=source', 'another']);
      t.regex(busy.stderr, /source@local.*this-machine/);
      await docker.mustDocker(['rm', '--force', source, clone]);
      await remove(docker, 'source', 'clone');
    },
  );
}

test.serial('docker: mount-options, uid, gid and mode are applied', async (t) => {
  const { docker } = t.context;
  await create(docker, 'tuned', 'mount-options=noatime,nosuid', 'uid=999', 'gid=998', 'mode=1770');
  t.regex(await mountLine(docker, 'tuned'), /nosuid.*noatime/);
  t.is(await sh(docker, 'tuned', 'stat -c "%u %g %a" /data'), '999 998 1770');
  await sh(docker, 'tuned', 'chmod 700 /data');
  t.is(await sh(docker, 'tuned', 'stat -c "%a" /data'), '700', 'they are applied once only');
  await remove(docker, 'tuned');
});

test.serial('docker: names may have spaces and any script, and full names are the same volumes', async (t) => {
  const { docker } = t.context;
  await create(docker, 'größe 日本');
  await sh(docker, 'größe 日本', 'echo x > /data/x');
  t.is(await sh(docker, 'größe 日本@local', 'cat /data/x'), 'x');
  t.regex(await docker.mustDocker(['volume', 'ls']), /größe 日本/);
  await remove(docker, 'größe 日本');
});

test.serial('docker: a restarted container finds its data, and references stay exact', async (t) => {
  const { docker } = t.context;
  await create(docker, 'again');
  const id = await hold(docker, 'again');
  await docker.mustDocker(['exec', id, 'sh', '-c', 'echo kept > /data/kept']);
  await docker.mustDocker(['restart', '--time', '0', id]);
  t.is(await docker.mustDocker(['exec', id, 'cat', '/data/kept']), 'kept');
  t.is((await inspect(docker, 'again')).Status['references'], 1);
  await docker.mustDocker(['stop', '--time', '0', id]);
  t.like(await inspect(docker, 'again'), { Mountpoint: '', Status: { status: 'detached', references: 0 } });
  await docker.mustDocker(['start', id]);
  t.is(await docker.mustDocker(['exec', id, 'cat', '/data/kept']), 'kept');
  await docker.mustDocker(['rm', '--force', id]);
  await remove(docker, 'again');
});

test.serial(
  'docker rule 5: docker cp of a running container mounts its ID twice and unmounts nothing under it',
  async (t) => {
    const { docker } = t.context;
    await create(docker, 'copied');
    const id = await hold(docker, 'copied');
    await docker.mustDocker(['exec', id, 'sh', '-c', 'echo inside > /data/file']);
    t.regex(await docker.mustDocker(['cp', `${id}:/data/file`, '-']), /inside/);
    t.is(await docker.mustDocker(['exec', id, 'cat', '/data/file']), 'inside');
    t.is((await inspect(docker, 'copied')).Status['references'], 1);
    await docker.mustDocker(['rm', '--force', id]);
    t.deepEqual(await loopsBelow(docker.datastore), []);
    await remove(docker, 'copied');
  },
);

test.serial('docker: what an image has where the volume goes is copied into it', async (t) => {
  const { docker } = t.context;
  const args = [
    'run',
    '--rm',
    '--network',
    'none',
    '--volume-driver',
    'vmdk',
    '--volume',
    'seeded:/data',
    images.withData,
  ];
  t.is(await docker.mustDocker([...args, 'cat', '/data/from-image']), 'image');
  t.is(await sh(docker, 'seeded', 'cat /data/from-image'), 'image');
  await remove(docker, 'seeded');
});

test.serial('docker: health and metrics tell what is mounted', async (t) => {
  const { docker } = t.context;
  await create(docker, 'seen');
  const id = await hold(docker, 'seen');
  t.like(await health(docker), { status: 'ok', volumes: { known: 1, mounted: 1 }, host: { isConnected: true } });
  await docker.mustDocker(['rm', '--force', id]);
  t.like(await health(docker), { volumes: { known: 1, mounted: 0 } });
  await remove(docker, 'seen');
});

test.serial(
  'docker: a disk that bears a foreign signature is refused by name, and not a byte of it changes',
  async (t) => {
    const { docker } = t.context;
    await create(docker, 'foreign');
    const extent = diskPath(docker, 'foreign', '-flat.vmdk');
    await mustRun(['mkswap', extent]);
    const before = await mustRun(['sha256sum', extent]);
    const { code, stderr } = await docker.docker(runArgs('foreign', 'true'));
    t.not(code, 0);
    t.regex(stderr, /foreign@local bears a swap signature where ext4 was expected/);
    t.is(await mustRun(['sha256sum', extent]), before);
    t.deepEqual(await loopsBelow(docker.datastore), []);
    await remove(docker, 'foreign');
  },
);
