import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { assemblePayload, installedFolder, noticesFile } from '../../packaging/payload/payload.ts';
import { hashOfTree } from '../../packaging/payload/tree.ts';
import { mustRun } from '../../scripts/command.ts';

async function payload(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'payload-'));
  await assemblePayload({ architecture: 'amd64', folder });
  return folder;
}

test('payload: made twice it is the same, byte for byte and date for date', async (t) => {
  const [one, two] = [await payload(), await payload()];
  t.teardown(() => Promise.all([one, two].map((folder) => rm(folder, { recursive: true }))));
  t.is(await hashOfTree(one), await hashOfTree(two));
});

test('payload: its programs run on its own Node, wherever the tree is, and load its own libraries', async (t) => {
  const folder = await payload();
  t.teardown(() => rm(folder, { recursive: true }));
  const home = join(folder, installedFolder);
  const env = { PATH: '/usr/bin:/bin', NODE_COMPILE_CACHE: join(folder, 'cache') };
  t.regex(await mustRun([join(folder, 'usr/bin/vmdkops'), '--help'], { env }), /Administer the volumes/);
  for (const name of ['ffi_bindings', 'ref_bindings']) {
    const load = `process.dlopen({ exports: {} }, ${JSON.stringify(join(home, 'build', `${name}.node`))})`;
    await mustRun([join(home, 'bin/node'), '--eval', load], { env });
  }
  t.false((await readdir(folder, { recursive: true })).some((name) => name.includes('node_modules')));
});

test('payload: it has the licences of the packages in its bundles, of Node, and of what is compiled in', async (t) => {
  const folder = await payload();
  t.teardown(() => rm(folder, { recursive: true }));
  const notices = await readFile(join(folder, installedFolder, noticesFile), 'utf8');
  for (const name of ['express', 'winston', '@2060.io/ffi-napi', 'node-addon-api', 'node', 'libffi'])
    t.regex(notices, new RegExp(`^${name} \\d+\\.\\d+\\S* \\(MIT\\)$`, 'm'));
  t.true(notices.includes('Copyright Node.js contributors'));
});
