/**
 * The disk that makes a guest the host of an inner one: this machine's QEMU with what it loads, and the inner guest, as a
 * kernel, an initial RAM disk, and the state in which it goes on. Invariant: it is made anew when one of its files is another.
 */
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { mustRun } from '../../scripts/command.ts';
import { makeInitrd } from './initrd.ts';
import { saveStarted } from './inner-machine.ts';
import { debianKernel, type Kernel } from './kernel.ts';
import { type Contents, copyInto, fingerprint, librariesOf, pathOf } from './machine-files.ts';
import { agentProgram, clientProgram } from './programs.ts';
import { madeOnce } from './workshop.ts';

const innerModules = ['virtio_pci', 'virtio_console', 'vmw_vsock_virtio_transport', 'vmw_pvscsi', 'sd_mod'];
const firmware = ['bios-256k.bin', 'kvmvapic.bin', 'linuxboot_dma.bin'];
const diskSize = '384M';

/** @returns the path of an ext4 image, to be attached read-only */
export async function nestedDisk(): Promise<string> {
  const kernel = await debianKernel();
  const programs = [await agentProgram(), await clientProgram()];
  const contents = await contentsOf(kernel);
  const makers = ['nested-disk.ts', 'inner-machine.ts', 'initrd.ts', 'root/inner-init'].map((file) =>
    join(import.meta.dirname, file),
  );
  const hash = await fingerprint([...makers, ...programs], contents);
  const folder = await madeOnce('nested', hash, async (fresh) => {
    const tree = join(fresh, 'tree');
    await copyInto(tree, contents);
    await makeInitrd(join(tree, 'initrd'), { kernel, init: 'inner-init', modules: innerModules, programs });
    await addState(fresh, tree);
    const image = join(fresh, 'nested.ext4');
    await mustRun(['truncate', '--size', diskSize, image]);
    await mustRun([await pathOf('mkfs.ext4'), '-q', '-O', '^has_journal', '-m', '0', '-d', tree, image]);
    await mustRun(['rm', '-r', tree]);
  });
  return join(folder, 'nested.ext4');
}

async function addState(folder: string, tree: string): Promise<void> {
  const scratch = join(folder, 'scratch');
  await mkdir(scratch);
  await saveStarted(scratch, join(tree, 'kernel'), join(tree, 'initrd'));
  await rename(join(scratch, 'state'), join(tree, 'state'));
  await rm(scratch, { recursive: true });
}

async function contentsOf(kernel: Kernel): Promise<Contents> {
  const qemu = await pathOf('qemu-system-x86_64');
  const modules = await acceleratorsOf();
  const libraries = await librariesOf([qemu, ...modules]);
  return new Map([
    ['qemu', qemu],
    ['kernel', kernel.image],
    ...libraries.map((path) => [join('lib', basename(path)), path] as const),
    ...modules.map((path) => [join('modules', basename(path)), path] as const),
    ...(await firmwareOf(qemu)).map((path) => [join('firmware', basename(path)), path] as const),
  ]);
}

/** A QEMU that is built as one piece has no such modules. */
async function acceleratorsOf(): Promise<readonly string[]> {
  const folder = '/usr/lib/x86_64-linux-gnu/qemu';
  const files = await readdir(folder).catch(() => []);
  return files.filter((file) => /^accel-.*x86_64\.so$/.test(file)).map((file) => join(folder, file));
}

async function firmwareOf(qemu: string): Promise<readonly string[]> {
  const folders = (await mustRun([qemu, '-L', 'help'])).trim().split('\n');
  const paths = new Map<string, string>();
  for (const folder of folders.toReversed()) {
    for (const file of await readdir(folder).catch(() => [])) paths.set(file, join(folder, file));
  }
  return firmware.map((name) => {
    const path = paths.get(name);
    if (path === undefined) throw new Error(`${dirname(qemu)} has a QEMU without its ${name}`);
    return path;
  });
}
