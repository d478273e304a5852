/**
 * What every package contains, as the tree that it is installed as: below /usr/lib/docker-volume-vmdk a Node of our own,
 * the programs, and the libraries that they load; in /usr/bin a launcher for each program. Invariant: the same commit
 * gives the same tree, byte for byte.
 */
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Architecture } from './architectures.ts';
import { allPrograms, bundlePrograms, type Program } from './bundles.ts';
import { nativeParts } from './native-parts.ts';
import { nodeBinary } from './node-binary.ts';
import { projectFolder, sourceDate } from './project.ts';
import { type Component, noticesOf } from '../others/component.ts';
import { payloadComponents } from './payload-components.ts';
import { settleTree } from './tree.ts';

export interface PayloadOptions {
  readonly architecture: Architecture;
  /** The root of the tree; may exist, and hold other things. */
  readonly folder: string;
  /** Where it is installed, in place of `installedFolder`: packages that are installed side by side share no file. */
  readonly home?: string;
  /** All when left out. */
  readonly programs?: readonly Program[];
  /** Leave out what needs a shell. */
  readonly withoutLaunchers?: boolean;
}

export const installedFolder = 'usr/lib/docker-volume-vmdk';
/** In that folder: the licences of all that others wrote. */
export const noticesFile = 'THIRD-PARTY-NOTICES';

export async function assemblePayload(options: PayloadOptions): Promise<void> {
  const { architecture, folder, programs = allPrograms, withoutLaunchers = false } = options;
  const home = join(folder, options.home ?? installedFolder);
  for (const name of ['bin', 'build', 'dist']) await mkdir(join(home, name), { recursive: true });
  await copyProgram(await nodeBinary(architecture), join(home, 'bin/node'));
  const parts = await nativeParts(architecture);
  for (const name of ['libvmci.so', 'ffi_bindings.node', 'ref_bindings.node']) {
    await copyFile(join(parts, name), join(home, 'build', name));
    await chmod(join(home, 'build', name), 0o644);
  }
  await bundlePrograms(join(home, 'dist'), programs);
  await writeNotices(home);
  if (!withoutLaunchers) await addLaunchers(folder, home, programs);
  await settleTree(folder, await sourceDate());
}

/**
 * @param home the folder of the payload
 * @param more what is beside it in the same package
 */
export async function writeNotices(home: string, more: readonly Component[] = []): Promise<void> {
  await writeFile(join(home, noticesFile), noticesOf([...(await payloadComponents()), ...more]));
}

async function addLaunchers(folder: string, home: string, programs: readonly Program[]): Promise<void> {
  await mkdir(join(folder, 'usr/bin'), { recursive: true });
  await copyFile(join(projectFolder, 'bin/launch.sh'), join(home, 'bin/launch.sh'));
  for (const name of programs) {
    await copyProgram(join(projectFolder, 'bin', name), join(home, 'bin', name));
    await symlink(`../lib/${basename(home)}/bin/${name}`, join(folder, 'usr/bin', name));
  }
}

async function copyProgram(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await chmod(to, 0o755);
}
