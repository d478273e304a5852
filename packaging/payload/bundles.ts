/**
 * The programs as packages have them: one file each, the JavaScript of the FFI packages included, so that of those only
 * the two native halves remain, beside libvmci. Invariant: what is in a bundle does not tell where it was made.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';
import { bundleOptions, programs } from '../../scripts/bundling.ts';
import { projectFolder } from './project.ts';

export type Program = keyof typeof programs;
export const allPrograms = Object.keys(programs) as readonly Program[];

/** Their search for the native half, and what it is replaced by: a path from dist/. */
const searches = {
  'ffi-napi/lib/bindings.js': '../build/ffi_bindings.node',
  'ref-napi/lib/ref.js': '../build/ref_bindings.node',
} as const;
const search = "require('node-gyp-build')(path.join(__dirname, '..'))";

const requireOfProject = createRequire(join(projectFolder, 'package.json'));

const nativeHalves: Plugin = {
  name: 'native halves beside libvmci',
  setup(bundling) {
    // By their files: types are declared for the names, and two copies of one package would not know each other's.
    bundling.onResolve({ filter: /^(?:@2060\.io\/)?(?:ffi|ref)-napi(?:\/|$)/ }, ({ path }) => ({
      path: requireOfProject.resolve(path.replace('@2060.io/', '')),
    }));
    bundling.onLoad({ filter: /\/(?:ffi-napi\/lib\/bindings|ref-napi\/lib\/ref)\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const found = Object.entries(searches).find(([file]) => path.endsWith(file));
      if (!found || !text.includes(search)) throw new Error(`${path} looks for its native half in an unknown way`);
      return { contents: text.replace(search, `require('${found[1]}')`), loader: 'js' };
    });
  },
};

export async function bundlePrograms(folder: string, wanted: readonly Program[]): Promise<void> {
  await build({ ...optionsFor(wanted), outdir: folder });
}

/** The source files that the programs are bundled from, relative to the project's folder. */
export async function bundledFiles(): Promise<readonly string[]> {
  const { metafile } = await build({ ...optionsFor(allPrograms), outdir: '.', write: false, metafile: true });
  return Object.keys(metafile.inputs);
}

function optionsFor(wanted: readonly Program[]): BuildOptions {
  return {
    ...bundleOptions,
    absWorkingDir: projectFolder,
    entryPoints: Object.fromEntries(wanted.map((name) => [name, programs[name]])),
    sourcemap: false,
    external: ['*.node'],
    plugins: [nativeHalves],
  };
}
