/** The managed plugin by way of a registry: pushed, installed on a machine that never saw its files, and upgraded. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import test, { type ExecutionContext } from 'ava';
import { pluginConfig } from '../../packaging/managed-plugin/config.ts';
import { unpackedPackages } from '../../packaging/payload/debian-archive.ts';
import { Daemon } from '../docker/harness/daemon.ts';
import { packagedPlugin } from '../docker/harness/managed-plugin.ts';
import { PrivateDocker } from '../docker/harness/private-docker.ts';
import { create, sh } from '../docker/support.ts';

const slowly = { timeoutMs: 120_000 };
const startMs = 20_000;
const testMs = 480_000;

/** Debian's, with its files in a folder that goes with the test, on a port of the loopback that the kernel chose. */
async function startRegistry(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'registry-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const configFile = join(folder, 'config.yml');
  const storage = `storage: { filesystem: { rootdirectory: ${join(folder, 'data')} } }`;
  await writeFile(configFile, `version: 0.1\n${storage}\nhttp: { addr: '127.0.0.1:0' }\n`);
  const unpacked = await unpackedPackages({ architecture: 'amd64' }, 'docker-registry', ['docker-registry']);
  const command = [join(unpacked, 'usr/bin/docker-registry'), 'serve', configFile] as const;
  const logFile = join(folder, 'registry.log');
  const registry = await Daemon.start({ name: 'docker-registry', command, env: process.env, logFile });
  t.teardown(() => registry.stop());
  let address: string | undefined;
  await registry.waitUntil(async () => {
    address = /listening on (127\.0\.0\.1:\d+)/.exec(await readFile(logFile, 'utf8'))?.[1];
    return address !== undefined;
  }, startMs);
  return String(address);
}

async function dockerd(t: ExecutionContext, withoutImages = false): Promise<PrivateDocker> {
  const docker = await PrivateDocker.start({ isManaged: false, withoutImages });
  t.teardown(() => docker.stop());
  return docker;
}

/** The plugin as `npm run package:plugin` makes it, told apart by its description. */
async function push(docker: PrivateDocker, name: string, description: string): Promise<void> {
  const folder = join(docker.folder, 'plugin');
  await mkdir(folder);
  await cp(join(await packagedPlugin(), 'rootfs'), join(folder, 'rootfs'), { recursive: true, verbatimSymlinks: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...pluginConfig, description }));
  await docker.mustDocker(['plugin', 'create', name, folder], slowly);
  await rm(folder, { recursive: true });
  await docker.mustDocker(['plugin', 'push', name], slowly);
  await docker.mustDocker(['plugin', 'rm', name]);
}

test('registry: the plugin is pushed, installed elsewhere under its short name, and upgraded with its data kept', async (t) => {
  t.timeout(testMs);
  const registry = await startRegistry(t);
  const maker = await dockerd(t, true);
  const [one, two] = [`${registry}/vmdk:1`, `${registry}/vmdk:2`];
  await push(maker, one, 'one');
  await push(maker, two, 'two');
  const user = await dockerd(t);
  const places = [`state.source=${user.stateFolder}`, `docker.source=${user.folder}`];
  const install = [
    'plugin',
    'install',
    '--grant-all-permissions',
    '--alias',
    'vmdk:latest',
    one,
    'VMDK_EMBEDDED=true',
    ...places,
  ];
  await user.mustDocker(install, slowly);
  await create(user, 'db');
  await sh(user, 'db', 'echo kept > /data/kept');
  await user.mustDocker(['plugin', 'disable', '--force', 'vmdk'], slowly);
  await user.mustDocker(['plugin', 'upgrade', '--grant-all-permissions', '--skip-remote-check', 'vmdk', two], slowly);
  // dockerd shows the sources that were set, and mounts those of the new configuration.
  await user.mustDocker(['plugin', 'set', 'vmdk', ...places]);
  await user.mustDocker(['plugin', 'enable', 'vmdk'], slowly);
  t.is(await user.mustDocker(['plugin', 'inspect', '--format', '{{.Config.Description}}', 'vmdk']), 'two');
  t.is(await sh(user, 'db', 'cat /data/kept'), 'kept');
  await user.mustDocker(['volume', 'rm', 'db']);
});
