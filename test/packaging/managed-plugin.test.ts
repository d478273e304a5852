/** What `npm run package:plugin` makes, looked at from outside. */
import { lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { assemblePlugin } from '../../packaging/managed-plugin/assemble.ts';
import { pluginConfig } from '../../packaging/managed-plugin/config.ts';
import { hashOfTree, sizeOfTree } from '../../packaging/payload/tree.ts';
import { loadConfig } from '../../common/config.ts';
import { pluginConfigSchema } from '../../plugin/config.ts';

async function plugin(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'plugin-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await assemblePlugin('amd64', folder);
  return folder;
}

test('managed plugin: made twice it is the same, and no larger than promised', async (t) => {
  const [one, two] = [await plugin(t), await plugin(t)];
  t.is(await hashOfTree(one), await hashOfTree(two));
  t.true((await sizeOfTree(one)) <= 150e6);
});

test('managed plugin: it has no shell, no package manager and no documentation, and nothing that gives rights', async (t) => {
  const rootfs = join(await plugin(t), 'rootfs');
  const names = await readdir(rootfs, { recursive: true });
  t.deepEqual(
    names.filter((name) => /(?:^|\/)(?:sh|bash|dash|busybox|dpkg|apt[^/]*|doc|man|share)$/.test(name)),
    [],
  );
  for (const name of names) {
    const { mode } = await lstat(join(rootfs, name));
    t.is(mode & 0o6000, 0, `${name} gives rights`);
  }
});

test('managed plugin: what its configuration gives is what the plugin takes', async (t) => {
  const env = Object.fromEntries(pluginConfig.env.map(({ name, value }) => [name, value]));
  const config = await loadConfig(pluginConfigSchema, { defaultFile: '/nonexistent', args: [], env });
  t.is(config.mountRoot, pluginConfig.propagatedMount);
  t.is(config.socket, `/run/docker/plugins/${pluginConfig.interface.socket}`);
  for (const limit of [config.createTimeoutMs, config.mountTimeoutMs, config.requestTimeoutMs]) t.true(limit <= 25_000);
  const state = pluginConfig.mounts.find(({ name }) => name === 'state');
  for (const path of [config.stateDir, config.datastore, config.adminSocket]) {
    t.true(path.startsWith(`${String(state?.destination)}/`), `${path} outlives the plugin`);
  }
  const written: unknown = JSON.parse(await readFile(join(await plugin(t), 'config.json'), 'utf8'));
  t.deepEqual(written, pluginConfig);
});
