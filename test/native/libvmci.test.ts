/** The C library by itself: its own tests under the sanitizers, what it exports, and its build script's answers. */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { built } from './support/built.ts';
import { run, type Scratch, scratch } from './support/scratch.ts';

const root = join(import.meta.dirname, '../..');
const header = await readFile(join(root, 'native/libvmci/vmci.h'), 'utf8');

interface Outcome {
  readonly code: number;
  readonly output: string;
}

async function outcome(command: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<Outcome> {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, ...environment };
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, { env });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  }
}

test('libvmci: its tests pass under the address and undefined-behaviour sanitizers', async (t) => {
  const place = await scratch(t);
  const { code, output } = await outcome(await built('sanitize'), [], {
    TMPDIR: place.folder,
    ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  });
  t.is(code, 0, `libvmci-test said: ${output}`);
  t.regex(output, /^1\.\.\d+$/m);
  t.notRegex(output, /^not ok/m);
});

/** A copy of the sources with the script, so that what is built here is not touched. */
async function checkout(place: Scratch): Promise<string> {
  await mkdir(place.path('scripts'));
  await cp(join(root, 'scripts/build-native.sh'), place.path('scripts/build-native.sh'));
  await cp(join(root, 'native/libvmci'), place.path('native/libvmci'), { recursive: true });
  return place.path('scripts/build-native.sh');
}

test('build: the library exports exactly the functions of its header', async (t) => {
  const place = await scratch(t);
  await run('sh', await checkout(place));
  const symbols = await run('nm', '-D', '--defined-only', place.path('build/libvmci.so'));
  const exported = [...symbols.matchAll(/ T (\w+)$/gm)].map(([, name]) => name);
  const declared = [...header.matchAll(/^VMCI_API \w+ (\w+)\(/gm)].map(([, name]) => name);
  t.deepEqual(exported.toSorted(), declared.toSorted());
});

test('build: it is done again only when a source is newer', async (t) => {
  const place = await scratch(t);
  const script = await checkout(place);
  const library = place.path('build/libvmci.so');
  await run('sh', script);
  const first = await stat(library);
  await run('sh', script);
  t.is((await stat(library)).ino, first.ino);
  const later = new Date(first.mtimeMs + 10_000);
  await utimes(place.path('native/libvmci/stream.h'), later, later);
  await run('sh', script);
  t.not((await stat(library)).ino, first.ino);
});

test('build: without a compiler it names the package to install', async (t) => {
  const place = await scratch(t);
  const { code, output } = await outcome('sh', [await checkout(place)], { CC: place.path('no-compiler') });
  t.is(code, 1);
  t.regex(output, /^[^\n]* install the Debian package gcc\.\n$/);
});

test('build: without libblkid’s header it names the package to install', async (t) => {
  const place = await scratch(t);
  const script = await checkout(place);
  const compiler = place.path('cc');
  await writeFile(compiler, '#!/bin/sh\nif grep -q blkid; then exit 1; fi\n');
  await chmod(compiler, 0o755);
  const { code, output } = await outcome('sh', [script], { CC: compiler });
  t.is(code, 1);
  t.regex(output, /^[^\n]* install the Debian package libblkid-dev\.\n$/);
});

test('build: a source that does not compile leaves the old library in place', async (t) => {
  const place = await scratch(t);
  const script = await checkout(place);
  await run('sh', script);
  const first = await stat(place.path('build/libvmci.so'));
  await writeFile(place.path('native/libvmci/mount.c'), 'not C');
  const { code } = await outcome('sh', [script], {});
  t.not(code, 0);
  t.is((await stat(place.path('build/libvmci.so'))).ino, first.ino);
  t.is((await run('ls', '-A', place.path('build'))).trim(), 'libvmci.so');
});
