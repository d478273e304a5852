/**
 * What is compiled: libvmci and the native halves of the FFI packages, for either architecture by the same steps.
 * Invariant: the compiler is told nothing of where it works, so the same sources give the same bytes anywhere.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { madeOnce } from '../../scripts/made-once.ts';
import { mustRun } from '../../scripts/command.ts';
import { type Architecture, architectures } from './architectures.ts';
import { unpackedPackages } from './debian-archive.ts';
import { nodeHeaders, nodeVersion } from './node-binary.ts';
import { partsFolder, projectFolder } from './project.ts';
import { hashOfTree } from './tree.ts';

const compileMs = 300_000;
const modules = join(projectFolder, 'node_modules');
const ffi = join(modules, 'ffi-napi');
const libffi = join(ffi, 'deps/libffi');

/** As the packages' own binding.gyp lists them. */
const ffiSources = ['ffi.cc', 'callback_info.cc', 'threaded_callback_invokation.cc'].map(
  (name) => `${ffi}/src/${name}`,
);
const refSources = [join(modules, 'ref-napi/src/binding.cc')];
const commonLibffi = ['prep_cif.c', 'types.c', 'raw_api.c', 'java_raw_api.c', 'closures.c'];
const libffiSources = {
  amd64: [...commonLibffi, 'x86/ffiw64.c', 'x86/ffi64.c', 'x86/unix64.S', 'x86/win64.S'],
  arm64: [...commonLibffi, 'aarch64/ffi.c', 'aarch64/sysv.S'],
} as const;
const includes = [
  nodeHeaders,
  ...['node-addon-api', 'get-uv-event-loop-napi-h/include', 'get-symbol-from-current-process-h/include'].map((name) =>
    join(modules, name),
  ),
  join(modules, 'ref-napi/include'),
];
const flags = ['-O2', '-fPIC', '-pthread', '-fvisibility=hidden', '-w', `-ffile-prefix-map=${projectFolder}=.`];
const cFlags = ['-DPIC', '-DFFI_BUILDING', '-DHAVE_CONFIG_H', '-DNDEBUG'];
const cxxFlags = [
  '-std=gnu++20',
  '-fno-rtti',
  '-fno-strict-aliasing',
  '-DBUILDING_NODE_EXTENSION',
  '-D_FILE_OFFSET_BITS=64',
];
const linkFlags = ['-shared', '-s', '-Wl,--build-id=none', '-Wl,-z,relro,-z,now,-z,noexecstack'];

/** The folder with `libvmci.so`, `ffi_bindings.node` and `ref_bindings.node`. */
export async function nativeParts(architecture: Architecture): Promise<string> {
  return madeOnce(partsFolder, `native-${architecture}`, await contentsHash(), async (fresh) => {
    await buildLibvmci(architecture, join(fresh, 'libvmci.so'));
    const objects = join(fresh, 'objects');
    await mkdir(objects);
    await buildFfi(architecture, objects, join(fresh, 'ffi_bindings.node'));
    await buildRef(architecture, objects, join(fresh, 'ref_bindings.node'));
    await rm(objects, { recursive: true });
  });
}

async function contentsHash(): Promise<string> {
  const hash = createHash('sha256').update(await nodeVersion());
  for (const file of ['native-parts.ts', '../../scripts/build-native.sh', '../../package-lock.json']) {
    hash.update(await readFile(join(import.meta.dirname, file)));
  }
  hash.update(await hashOfTree(join(projectFolder, 'native/libvmci')));
  hash.update(await mustRun(['cc', '--version']));
  return hash.digest('hex').slice(0, 16);
}

async function buildLibvmci(architecture: Architecture, path: string): Promise<void> {
  const { toolPrefix } = architectures[architecture];
  const foreign = architecture === 'amd64' ? '' : await foreignFlags(architecture);
  const env = { ...process.env, CC: `${toolPrefix}gcc`, MORE_FLAGS: foreign };
  await mustRun(['sh', join(projectFolder, 'scripts/build-native.sh'), 'package', path], { env, timeoutMs: compileMs });
}

/** The one library that the C library of cross-compilers does not bring. */
async function foreignFlags(architecture: Architecture): Promise<string> {
  const folder = await unpackedPackages({ architecture }, 'blkid', ['libblkid-dev', 'libblkid1']);
  const libraries = ['usr/lib', 'lib'].map((name) => `-L${join(folder, name, architectures[architecture].triplet)}`);
  return [`-idirafter ${join(folder, 'usr/include')}`, ...libraries].join(' ');
}

async function buildFfi(architecture: Architecture, objects: string, path: string): Promise<void> {
  const { toolPrefix, libffi: config } = architectures[architecture];
  const headers = [join(libffi, 'include'), join(libffi, 'config/linux', config)];
  const compiled: string[] = [];
  for (const name of libffiSources[architecture]) {
    const object = join(objects, `${name.replace('/', '-')}.o`);
    const options = [...flags, ...cFlags, ...headers.map((folder) => `-I${folder}`)];
    await compile(`${toolPrefix}gcc`, [...options, '-c', join(libffi, 'src', name), '-o', object]);
    compiled.push(object);
  }
  compiled.push(...(await compileCxx(architecture, ffiSources, objects, headers)));
  await compile(`${toolPrefix}g++`, [...linkFlags, ...compiled, '-o', path]);
}

async function buildRef(architecture: Architecture, objects: string, path: string): Promise<void> {
  const compiled = await compileCxx(architecture, refSources, objects, []);
  await compile(`${architectures[architecture].toolPrefix}g++`, [...linkFlags, ...compiled, '-o', path]);
}

async function compileCxx(
  architecture: Architecture,
  sources: readonly string[],
  objects: string,
  headers: readonly string[],
): Promise<readonly string[]> {
  const compiled: string[] = [];
  for (const source of sources) {
    const object = join(objects, `${source.slice(source.lastIndexOf('/') + 1)}.o`);
    const name = /(\w+)-napi/.exec(source)?.[1] === 'ffi' ? 'ffi_bindings' : 'binding';
    const options = [...flags, ...cxxFlags, `-DNODE_GYP_MODULE_NAME=${name}`];
    const folders = [...includes, ...headers].map((folder) => `-I${folder}`);
    await compile(`${architectures[architecture].toolPrefix}g++`, [...options, ...folders, '-c', source, '-o', object]);
    compiled.push(object);
  }
  return compiled;
}

async function compile(compiler: string, args: readonly string[]): Promise<void> {
  await mustRun([compiler, ...args], { timeoutMs: compileMs });
}
