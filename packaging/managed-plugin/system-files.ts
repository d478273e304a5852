/**
 * The few programs of Debian that the plugin runs, with the libraries that they and ours load, and nothing else of a
 * system: no shell, no package manager. Invariant: each library that a program or a library names is there.
 */
import { copyFile, mkdir, realpath, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Component } from '../others/component.ts';
import { debianComponents } from '../others/debian-components.ts';
import { mustRun } from '../../scripts/command.ts';
import { type Architecture, architectures } from '../payload/architectures.ts';
import { unpackedPackages } from '../payload/debian-archive.ts';

/** The first has the texts of licences that the others' only name. */
const packages = ['base-files', 'btrfs-progs', 'e2fsprogs', 'libblkid1', 'libstdc++6', 'xfsprogs'];
/** All that plugin/adapters/ runs. The kinds of ext are one program by several names. */
const programs = ['mke2fs', 'e2fsck', 'tune2fs', 'resize2fs', 'mkfs.xfs', 'xfs_growfs', 'mkfs.btrfs', 'btrfs'];
const otherNames = ['mkfs.ext2', 'mkfs.ext3', 'mkfs.ext4'].map((name) => [name, 'mke2fs'] as const);
const settings = ['etc/mke2fs.conf'];

/**
 * Fills the tree, in which the payload is already.
 * @param ours the binaries of the payload
 * @param tools which of the programs; all when left out
 * @returns the packages that something was taken from
 */
export async function addSystemFiles(
  architecture: Architecture,
  folder: string,
  ours: readonly string[],
  tools: readonly string[] = programs,
): Promise<readonly Component[]> {
  const archive = { architecture, withLibraries: true } as const;
  const system = await unpackedPackages(archive, 'system', packages);
  await addFolders(folder);
  const taken: string[] = [];
  for (const name of tools) {
    const place = await placeOf(system, ['usr/sbin', 'sbin', 'usr/bin', 'bin'], name);
    await copyFile(place, join(folder, 'usr/sbin', name));
    taken.push(place);
  }
  if (tools.includes('mke2fs')) {
    for (const [name, target] of otherNames) await symlink(target, join(folder, 'usr/sbin', name));
    for (const name of settings) await copyFile(join(system, name), join(folder, name));
  }
  const binaries = [...ours, ...tools.map((name) => join(folder, 'usr/sbin', name))];
  taken.push(...(await addLibraries(architecture, system, folder, binaries)));
  return debianComponents(system, taken);
}

async function addFolders(folder: string): Promise<void> {
  for (const name of ['usr/sbin', 'usr/lib', 'usr/lib64', 'etc', 'tmp'])
    await mkdir(join(folder, name), { recursive: true });
  for (const name of ['sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, join(folder, name));
}

async function addLibraries(
  architecture: Architecture,
  system: string,
  folder: string,
  binaries: readonly string[],
): Promise<readonly string[]> {
  const { triplet, loader } = architectures[architecture];
  const places = ['lib', 'usr/lib'].map((name) => `${name}/${triplet}`);
  await mkdir(join(folder, 'usr/lib', triplet));
  const waiting = [...binaries];
  const seen = new Set<string>();
  const taken: string[] = [];
  for (const file of waiting) {
    for (const name of await librariesOf(file)) {
      if (seen.has(name)) continue;
      seen.add(name);
      const place = await placeOf(system, places, name);
      await copyFile(place, join(folder, 'usr/lib', triplet, name));
      taken.push(place);
      waiting.push(join(folder, 'usr/lib', triplet, name));
    }
  }
  const target = loader.startsWith('lib64/') ? `../lib/${triplet}` : triplet;
  await symlink(join(target, basename(loader)), join(folder, 'usr', loader));
  return taken;
}

/** The names that the dynamic section lists. */
async function librariesOf(file: string): Promise<readonly string[]> {
  const text = await mustRun(['readelf', '--dynamic', '--wide', file], {
    env: { LC_ALL: 'C', PATH: process.env['PATH'] },
  });
  return [...text.matchAll(/\(NEEDED\) +Shared library: \[(.+)\]/g)].map(([, name = '']) => name);
}

/** Where it really is: what the archive has as a link is copied as a file. */
async function placeOf(system: string, folders: readonly string[], name: string): Promise<string> {
  for (const folder of folders) {
    const path = await realpath(join(system, folder, name)).catch(() => undefined);
    if (path !== undefined) return path;
  }
  throw new Error(`none of Debian's packages ${packages.join(', ')} and their libraries has ${name}`);
}
