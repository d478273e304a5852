import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import * as z from 'zod';
import { type ConfigSources, loadConfig } from '../../common/config.ts';
import { faultOf } from '../../common/fault.ts';

const schema = z.strictObject({
  mountRoot: z.string().startsWith('/', 'must be an absolute path').default('/mnt/vmdk'),
  embedded: z.boolean().default(false),
  waitMs: z.number().int().min(1).default(5),
  datastores: z.record(z.string(), z.string()).default({}),
});

async function load(sources: Partial<ConfigSources>): Promise<z.infer<typeof schema>> {
  return loadConfig(schema, { defaultFile: '/nonexistent/config.json', args: [], env: {}, ...sources });
}

test('config: without sources the defaults hold, and the result is frozen', async (t) => {
  const config = await load({});
  t.deepEqual(config, { mountRoot: '/mnt/vmdk', embedded: false, waitMs: 5, datastores: {} });
  t.true(Object.isFrozen(config));
});

test('config: flags win over variables, variables over the file, the file over defaults', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'config-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, 'c.json');
  await writeFile(file, JSON.stringify({ mountRoot: '/file', waitMs: 1, embedded: true }));
  const config = await load({
    args: ['--config', file, '--mount-root=/flag', '--no-embedded'],
    env: { VMDK_MOUNT_ROOT: '/env', VMDK_WAIT_MS: '2', VMDK_DATASTORES: '{"a":"/a"}', OTHER: 'x' },
  });
  t.deepEqual(config, { mountRoot: '/flag', embedded: false, waitMs: 2, datastores: { a: '/a' } });
});

test('config: a boolean flag needs no value', async (t) => {
  t.true((await load({ args: ['--embedded'] })).embedded);
});

const refused: readonly (readonly [Partial<ConfigSources>, RegExp])[] = [
  [{ args: ['--nonsense'] }, /flag --nonsense is unknown; known are --mount-root, --embedded/],
  [{ args: ['stray'] }, /argument "stray"/],
  [{ args: ['--mount-root'] }, /flag --mount-root needs a value/],
  [{ args: ['--mount-root', 'mnt'] }, /key mountRoot has the value "mnt": must be an absolute path/],
  [{ env: { VMDK_NONSENSE: '1' } }, /variable VMDK_NONSENSE is unknown; known are VMDK_MOUNT_ROOT/],
  [{ env: { VMDK_WAIT_MS: 'soon' } }, /key waitMs has the value "soon": .*number/],
  [{ env: { VMDK_WAIT_MS: '0' } }, /key waitMs has the value 0: .*1/],
  [{ args: ['--embedded=maybe'] }, /key embedded has the value "maybe": .*boolean/],
  [{ args: ['--config', '/nonexistent/asked.json'] }, /file \/nonexistent\/asked.json cannot be read: ENOENT/],
  [{ args: ['--config', '/etc'] }, /file \/etc cannot be read: EISDIR/],
  [{ args: ['--config', '/etc/passwd'] }, /file \/etc\/passwd is not JSON: .*not valid JSON/],
];
for (const [sources, message] of refused) {
  test(`config: ${JSON.stringify(sources)} is refused in one line`, async (t) => {
    const fault = faultOf(await t.throwsAsync(load(sources)));
    t.regex(fault.message, message);
    t.notRegex(fault.message, /\n/);
  });
}

test('config: every problem is told at once', async (t) => {
  const fault = faultOf(
    await t.throwsAsync(load({ args: ['--nonsense', '--mount-root', 'mnt'], env: { VMDK_WAIT_MS: 'x' } })),
  );
  t.regex(fault.message, /nonsense.*mountRoot.*waitMs/);
});

test('config: an unknown key of the file is named', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'config-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, 'c.json');
  await writeFile(file, '{"mountroot":"/x"}');
  await t.throwsAsync(load({ args: ['--config', file] }), { message: /key mountroot is unknown/ });
});
