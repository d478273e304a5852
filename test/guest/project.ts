/**
 * The product as it is now, and the programs that tests run inside a guest, as an archive that the guest unpacks at its
 * start. The programs are bundled, as the product's are: a guest under emulation takes long to load many files.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { mustRun } from '../../scripts/command.ts';
import { projectFolder } from './workshop.ts';

/** Writes the archive. In the guest the product is in /vmdk, and the program of `inside/NAME.ts` is /vmdk/inside/NAME.js. */
export async function packProject(archive: string): Promise<void> {
  const folder = `${archive}.tree`;
  const sources = await readdir(join(import.meta.dirname, 'inside'));
  await build({
    entryPoints: sources.map((file) => join(import.meta.dirname, 'inside', file)),
    outdir: join(folder, 'inside'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: ['ffi-napi', 'ref-napi'],
    banner: {
      js: "import { createRequire as requireOfBundle } from 'node:module'; const require = requireOfBundle(import.meta.url);",
    },
    logLevel: 'warning',
  });
  const product = ['bin', 'dist', 'build/libvmci.so'];
  const options = ['--exclude=*.map', '--exclude=.*'];
  await mustRun(['tar', '-c', '-f', archive, ...options, '-C', projectFolder, ...product, '-C', folder, 'inside']);
  await mustRun(['rm', '-r', folder]);
}
