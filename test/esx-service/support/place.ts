/**
 * A service's surroundings for one test, on the real kernel. Invariant: when the test has ended, however it ended, no
 * loop device over its files, no mount and no file of it is left.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { detachLoop, listLoops } from '../../../native/loop-devices.ts';
import { mount, unmount } from '../../../native/mounts.ts';

export const mebibyte = 1024 * 1024;
const runFile = promisify(execFile);

export async function run(command: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  return (await runFile(command, args, { env })).stdout;
}

export interface Place {
  readonly folder: string;
  path(...names: string[]): string;
  /** Mounts a new file system of this size and returns its folder. */
  fileSystem(fstype: 'xfs' | 'ext4' | 'tmpfs', sizeBytes: number): Promise<string>;
}

export async function place(t: ExecutionContext): Promise<Place> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'vmdkops-')));
  const path = (...names: string[]): string => join(folder, ...names);
  const mounted: string[] = [];
  t.teardown(async () => {
    await detachBelow(folder);
    for (const target of mounted.reverse()) await unmount(target);
    await detachBelow(folder);
    await rm(folder, { recursive: true });
  });
  return {
    folder,
    path,
    async fileSystem(fstype, sizeBytes) {
      const target = path(`${fstype}-${mounted.length}`);
      await mkdir(target);
      if (fstype === 'tmpfs') {
        await mount({ source: '', target, fstype, data: `size=${sizeBytes}` });
      } else {
        const image = `${target}.img`;
        await using file = await open(image, 'wx');
        await file.truncate(sizeBytes);
        await run(`mkfs.${fstype}`, '-q', image);
        await run('mount', '-o', 'loop', image, target);
      }
      mounted.push(target);
      return target;
    },
  };
}

async function detachBelow(folder: string): Promise<void> {
  for (const loop of await listLoops()) {
    // The file systems' own go with their unmount.
    if (loop.backingPath?.startsWith(`${folder}/`) && !loop.isAutoClear) await detachLoop(loop.path, loop.diskSequence);
  }
}

/** The folder in which a datastore keeps its volumes. */
export function volumesOf(datastore: string): string {
  return join(datastore, 'dockvols', '_DEFAULT');
}

export async function filesOf(datastore: string): Promise<string[]> {
  return (await readdir(volumesOf(datastore))).sort();
}

export function fileOf(datastore: string, file: string): string {
  return join(volumesOf(datastore), file);
}

export async function fill(path: string, offset: number, bytes: Buffer): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.sync();
}

/** In bytes. */
export async function allocated(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}

/** How many loop devices have a file of the folder behind them. */
export async function loopsBelow(folder: string): Promise<number> {
  return (await listLoops()).filter(({ backingPath }) => backingPath?.startsWith(folder)).length;
}
