/** Kernel modules with all that they need, in the order in which they are loaded. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** @returns paths below the folder of modules; a name that is built into the kernel has none */
export async function withDependencies(folder: string, names: readonly string[]): Promise<readonly string[]> {
  const needs = new Map<string, readonly string[]>();
  const paths = new Map<string, string>();
  for (const line of (await readFile(join(folder, 'modules.dep'), 'utf8')).trimEnd().split('\n')) {
    const [path = '', rest = ''] = line.split(':');
    needs.set(path, rest.trim() === '' ? [] : rest.trim().split(' '));
    paths.set(nameOf(path), path);
  }
  const builtIn = new Set((await readFile(join(folder, 'modules.builtin'), 'utf8')).trimEnd().split('\n').map(nameOf));
  const ordered = new Set<string>();
  const add = (path: string): void => {
    for (const needed of needs.get(path) ?? []) if (!ordered.has(needed)) add(needed);
    ordered.add(path);
  };
  for (const name of names) {
    const path = paths.get(name);
    if (path !== undefined) add(path);
    else if (!builtIn.has(name)) throw new Error(`the kernel in ${folder} has no module ${name}`);
  }
  return [...ordered];
}

function nameOf(path: string): string {
  return basename(path)
    .replace(/\.ko(\..*)?$/, '')
    .replaceAll('-', '_');
}
