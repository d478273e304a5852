/** Initial RAM disks: busybox, a start script, kernel modules in the order in which they are loaded, and programs. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mustRun } from '../../scripts/command.ts';
import type { Kernel } from './kernel.ts';
import { pathOf } from './machine-files.ts';
import { withDependencies } from './modules.ts';

export interface InitrdOptions {
  readonly kernel: Kernel;
  /** A script of `root/`. */
  readonly init: string;
  /** Those that are in the kernel itself are left out; `/modules/order` names the rest. */
  readonly modules: readonly string[];
  /** Put into `/bin`; they must need no libraries. */
  readonly programs?: readonly string[];
}

/** Writes the RAM disk. */
export async function makeInitrd(
  initrd: string,
  { kernel, init, modules, programs = [] }: InitrdOptions,
): Promise<void> {
  const tree = `${initrd}.tree`;
  for (const folder of ['bin', 'dev', 'modules', 'proc', 'root', 'sys', 'tmp']) {
    await mkdir(join(tree, folder), { recursive: true });
  }
  for (const program of [await pathOf('busybox'), ...programs]) {
    await copyFile(program, join(tree, 'bin', basename(program)));
  }
  await copyFile(join(import.meta.dirname, 'root', init), join(tree, 'init'));
  const needed = await withDependencies(kernel.modules, modules);
  for (const path of needed) await copyFile(join(kernel.modules, path), join(tree, 'modules', basename(path)));
  await writeFile(join(tree, 'modules/order'), needed.map((path) => basename(path)).join('\n'));
  const pack = 'chmod 755 "$1/init" && cd "$1" && busybox find . | busybox cpio -o -H newc > "$2"';
  await mustRun(['sh', '-c', pack, 'sh', tree, initrd]);
  await mustRun(['rm', '-r', tree]);
}
