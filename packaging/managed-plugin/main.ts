/** `npm run package:plugin [-- amd64 arm64]`: makes build/packages/plugin-ARCHITECTURE, and says how large it is. */
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { runCommand } from '../../scripts/command.ts';
import { type Architecture, architectures } from '../payload/architectures.ts';
import { projectFolder } from '../payload/project.ts';
import { hashOfTree, sizeOfTree } from '../payload/tree.ts';
import { assemblePlugin } from './assemble.ts';

const packagesFolder = join(projectFolder, 'build/packages');
const packMs = 300_000;

const asked = process.argv.slice(2);
const all = Object.keys(architectures) as Architecture[];
const unknown = asked.find((name) => !all.some((known) => known === name));
if (unknown !== undefined) throw new Error(`architecture ${unknown} is unknown; known are ${all.join(', ')}`);
for (const architecture of asked.length === 0 ? all : (asked as Architecture[])) await makePackage(architecture);

async function makePackage(architecture: Architecture): Promise<void> {
  const folder = join(packagesFolder, `plugin-${architecture}`);
  const fresh = `${folder}.new-${process.pid}`;
  try {
    await assemblePlugin(architecture, fresh);
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  const packed = await compressedBytes(folder);
  const [megabytes, packedMegabytes] = [await sizeOfTree(folder), packed].map((bytes) => (bytes / 1e6).toFixed(1));
  const hash = await hashOfTree(folder);
  process.stdout.write(`${folder}: ${megabytes} MB, ${packedMegabytes} MB compressed, sha256 ${hash}\n`);
}

/** As dockerd stores it. */
async function compressedBytes(folder: string): Promise<number> {
  const script = 'tar --create --directory "$1" rootfs | gzip | wc --bytes';
  return Number((await runCommand(['sh', '-c', script, 'sh', folder], { timeoutMs: packMs })).stdout);
}
