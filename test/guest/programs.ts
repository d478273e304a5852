/** The C programs of the test guests, compiled when a source or how they are compiled has changed. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../scripts/command.ts';
import { madeOnce, projectFolder } from './workshop.ts';

const flags = '-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O2'.split(' ');

/** @returns the program's path */
export async function agentProgram(): Promise<string> {
  return compiled('agent', [join(import.meta.dirname, 'agent.c')], ['-static']);
}

/** Of one file, to be copied into a guest. @returns the program's path */
export async function guestProgram(name: 'bridge' | 'disk-news'): Promise<string> {
  return compiled(name, [join(import.meta.dirname, `${name}.c`)], ['-static', '-pthread']);
}

/** The inner guest's, which dials with libvmci's code. @returns the program's path */
export async function clientProgram(): Promise<string> {
  const library = join(projectFolder, 'native/libvmci');
  const linked = ['dial.c', 'io.c', 'listen.c', 'pump.c', 'stream.h', 'thread.c', 'vmci.h', 'vsock.c'];
  const files = [join(import.meta.dirname, 'nested/client.c'), ...linked.map((file) => join(library, file))];
  return compiled('client', files, ['-static', '-pthread', `-I${library}`]);
}

/** @returns the program's path */
export async function vsockBackendProgram(): Promise<string> {
  const folder = join(import.meta.dirname, 'vsock-backend');
  return compiled(
    'vsock-backend',
    (await readdir(folder)).sort().map((file) => join(folder, file)),
    [],
  );
}

async function compiled(name: string, files: readonly string[], more: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update([...flags, ...more].join(' '));
  for (const file of files) hash.update(await readFile(file));
  const sources = files.filter((file) => file.endsWith('.c'));
  const folder = await madeOnce(name, hash.digest('hex').slice(0, 16), async (fresh) => {
    await mustRun(['cc', ...flags, ...more, ...sources, '-o', join(fresh, name)]);
  });
  return join(folder, name);
}
