/** The guests' kernel: Debian's for virtual machines, taken from its package without installing that. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun, runCommand } from '../docker/harness/command.ts';
import { madeOnce } from './workshop.ts';

export interface Kernel {
  readonly image: string;
  /** Its modules, with their dependencies listed in `modules.dep`. */
  readonly modules: string;
  readonly version: string;
}

const metapackage = 'linux-image-cloud-amd64';
const downloadMs = 300_000;

export async function debianKernel(): Promise<Kernel> {
  const folder = await madeOnce('kernel', 'debian', unpack);
  const [version] = await readdir(join(folder, 'lib/modules'));
  if (version === undefined) throw new Error(`${folder} has no kernel modules; remove it and try again`);
  return { version, image: join(folder, `boot/vmlinuz-${version}`), modules: join(folder, 'lib/modules', version) };
}

async function unpack(folder: string): Promise<void> {
  const name = await packageName();
  await mustRun(['env', '--chdir', folder, 'apt-get', '-q', 'download', name], { timeoutMs: downloadMs });
  const [file = ''] = (await readdir(folder)).filter((candidate) => candidate.endsWith('.deb'));
  await mustRun(['dpkg-deb', '--extract', join(folder, file), folder]);
  await mustRun(['rm', join(folder, file)]);
  const [version = ''] = await readdir(join(folder, 'lib/modules'));
  await mustRun(['busybox', 'depmod', '-b', folder, version]);
}

/** The package that the metapackage stands for now. A machine whose package lists were never fetched gets them. */
async function packageName(): Promise<string> {
  const ask = ['apt-cache', 'depends', '--important', metapackage] as const;
  const find = (text: string): string | undefined => /Depends: (linux-image-\S+)/.exec(text)?.[1];
  const known = find((await runCommand(ask)).stdout);
  if (known !== undefined) return known;
  await mustRun(['apt-get', '-q', 'update'], { timeoutMs: downloadMs });
  const name = find(await mustRun(ask));
  if (name === undefined)
    throw new Error(`this system's package lists have no ${metapackage}, the test guests' kernel`);
  return name;
}
