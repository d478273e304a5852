/**
 * Bundles the three programs into dist/, so that they start without searching node_modules for hundreds of files.
 * A bundle is replaced whole: a program that is started meanwhile sees the old or the new one. Nothing is done when no
 * source is newer than the bundles; `--force` builds in any case.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { bundleOptions, programs } from './bundling.ts';

const root = dirname(import.meta.dirname);
const dist = join(root, 'dist');
const ours = ['common', 'native', 'plugin', 'esx-service', 'scripts/build.ts', 'scripts/bundling.ts'];
const sources = [...ours, 'package-lock.json', 'tsconfig.json'];

async function newest(path: string): Promise<number> {
  const found = await stat(path);
  if (!found.isDirectory()) return found.mtimeMs;
  const times = (await readdir(path, { withFileTypes: true, recursive: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map(async (entry) => (await stat(join(entry.parentPath, entry.name))).mtimeMs);
  // The folder's own time tells of a file that was deleted.
  return Math.max(found.mtimeMs, ...(await Promise.all(times)));
}

async function isFresh(): Promise<boolean> {
  const built = Object.keys(programs).map(async (name) => (await stat(join(dist, `${name}.js`))).mtimeMs);
  const oldestBundle = Math.min(...(await Promise.all(built).catch(() => [0])));
  const newestSource = Math.max(...(await Promise.all(sources.map((source) => newest(join(root, source))))));
  return oldestBundle > newestSource;
}

if (process.argv.includes('--force') || !(await isFresh())) {
  const fresh = join(dist, `.new-${process.pid}`);
  await mkdir(fresh, { recursive: true });
  try {
    await build({ ...bundleOptions, absWorkingDir: root, entryPoints: programs, outdir: fresh });
    const files = await readdir(fresh);
    // Source maps first: a bundle is never without its map.
    for (const file of files.toSorted().reverse()) await rename(join(fresh, file), join(dist, file));
  } catch {
    // esbuild has said where and why.
    process.exitCode = 1;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}
