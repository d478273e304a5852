/**
 * A place on the real kernel for one test. Invariant: what the test attached, mounted or wrote through it is gone when
 * the test has ended, however it ended: newest first, and a mount point is never removed recursively while mounted.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { type AttachedLoop, attachLoop, detachLoop, type LoopRequest } from '../../../native/loop-devices.ts';
import { mount, type MountRequest, unmount } from '../../../native/mounts.ts';
import { codeOf } from '../../../native/system-error.ts';

const runFile = promisify(execFile);
const sbin = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
/** What the kernel says when the test itself has undone it already. */
const alreadyGone = ['EINVAL', 'ENOENT', 'ENXIO'];

export async function run(command: string, ...args: string[]): Promise<string> {
  return (await runFile(command, args, { env: { ...process.env, PATH: sbin } })).stdout;
}

export interface Scratch {
  readonly folder: string;
  path(name: string): string;
  /** A new folder. */
  directory(name: string): Promise<string>;
  /** A new file that is all hole. */
  sparseFile(name: string, sizeBytes: number): Promise<string>;
  attach(request: Partial<LoopRequest> & { readonly backingPath: string }): Promise<AttachedLoop>;
  mount(request: MountRequest): Promise<void>;
  /** A process with a mount namespace of its own, in which the commands have been run. */
  namespace(commands: string): Promise<NamespaceHolder>;
}

export interface NamespaceHolder {
  end(): Promise<void>;
}

/**
 * It lives until its input ends, so it cannot outlive this process. It starts with a copy of every mount there is, also
 * those of other tests, whose devices it must not hold: they go at once, and later with their own unmount.
 */
async function holdNamespace(folder: string, commands: string): Promise<NamespaceHolder> {
  const others = `grep -o ' ${tmpdir()}/native-[^ ]*' /proc/self/mountinfo | grep -v ${folder} | xargs -r umount -l`;
  const script = `{ ${others}; }; ${commands} && echo ready && exec cat`;
  const child = spawn('unshare', ['--mount', '--propagation', 'slave', 'sh', '-c', script], {
    env: { ...process.env, PATH: sbin },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exited]);
  if (child.exitCode !== null) throw new Error(`the namespace was not made: ${commands}`);
  return {
    async end() {
      child.stdin.end();
      await exited;
    },
  };
}

async function unlessGone(undo: Promise<void>): Promise<void> {
  try {
    await undo;
  } catch (error) {
    if (!alreadyGone.includes(codeOf(error) ?? '')) throw error;
  }
}

export async function scratch(t: ExecutionContext): Promise<Scratch> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'native-')));
  const path = (name: string): string => join(folder, name);
  // ava runs teardowns newest first.
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return {
    folder,
    path,
    async directory(name) {
      await mkdir(path(name));
      return path(name);
    },
    async sparseFile(name, sizeBytes) {
      await using file = await open(path(name), 'wx');
      await file.truncate(sizeBytes);
      return path(name);
    },
    async attach(request) {
      const loop = await attachLoop({ isReadOnly: false, ...request });
      t.teardown(() => unlessGone(detachLoop(loop.path, loop.diskSequence)));
      return loop;
    },
    async mount(request) {
      await mount(request);
      t.teardown(() => unlessGone(unmount(request.target)));
    },
    async namespace(commands) {
      const holder = await holdNamespace(folder, commands);
      t.teardown(() => holder.end());
      return holder;
    },
  };
}
