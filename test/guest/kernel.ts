/** The guests' kernel: Debian's for virtual machines, taken from its package without installing that. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../scripts/command.ts';
import { askApt, unpackPackages } from './debian-packages.ts';
import { madeOnce } from './workshop.ts';

export interface Kernel {
  readonly image: string;
  /** Its modules, with their dependencies listed in `modules.dep`. */
  readonly modules: string;
  readonly version: string;
}

const metapackage = 'linux-image-cloud-amd64';

export async function debianKernel(): Promise<Kernel> {
  const folder = await madeOnce('kernel', 'debian', unpack);
  const [version] = await readdir(join(folder, 'lib/modules'));
  if (version === undefined) throw new Error(`${folder} has no kernel modules; remove it and try again`);
  return { version, image: join(folder, `boot/vmlinuz-${version}`), modules: join(folder, 'lib/modules', version) };
}

async function unpack(folder: string): Promise<void> {
  const ask = ['apt-cache', 'depends', '--important', metapackage] as const;
  const name = await askApt(ask, (text) => /Depends: (linux-image-\S+)/.exec(text)?.[1]);
  await unpackPackages(folder, [name]);
  const [version = ''] = await readdir(join(folder, 'lib/modules'));
  await mustRun(['busybox', 'depmod', '-b', folder, version]);
}
