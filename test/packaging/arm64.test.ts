/** The plugin for arm64, which nobody here can run: every file is looked at. */
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import test from 'ava';
import { assemblePlugin } from '../../packaging/managed-plugin/assemble.ts';
import { hashOfTree, sizeOfTree } from '../../packaging/payload/tree.ts';
import { mustRun, runCommand } from '../../scripts/command.ts';

test('arm64: all programs and libraries are for it, and each library that one names is there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'plugin-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await assemblePlugin('arm64', folder);
  t.true((await sizeOfTree(folder)) <= 150e6);
  const again = await mkdtemp(join(tmpdir(), 'plugin-'));
  t.teardown(() => rm(again, { recursive: true }));
  await assemblePlugin('arm64', again);
  t.is(await hashOfTree(again), await hashOfTree(folder));
  const names = await readdir(join(folder, 'rootfs/usr'), { recursive: true });
  const libraries = new Set(names.map((name) => basename(name)));
  let count = 0;
  for (const path of names.map((name) => join(folder, 'rootfs/usr', name))) {
    if (!(await lstat(path)).isFile()) continue;
    const { code, stdout } = await runCommand(['readelf', '--file-header', path]);
    if (code !== 0) continue;
    count += 1;
    t.regex(stdout, /Machine: +AArch64/, `${path} is for another machine`);
    const needed = [...(await mustRun(['readelf', '--dynamic', path])).matchAll(/\(NEEDED\).*\[(.+)\]/g)];
    for (const [, library = ''] of needed) t.true(libraries.has(library), `${path} needs ${library}`);
  }
  t.true(count > 20);
});
