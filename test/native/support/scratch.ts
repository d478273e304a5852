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
import { deadline, pause } from '../../../common/deadline.ts';
import { type AttachedLoop, attachLoop, detachLoop, type LoopRequest } from '../../../native/loop-devices.ts';
import { mount, type MountRequest, unmount } from '../../../native/mounts.ts';
import { codeOf } from '../../../native/system-error.ts';
import type { Command } from '../../../scripts/command.ts';
import { mountersOf } from '../../support/holders.ts';
import { withOwnMounts } from '../../../scripts/own-mounts.ts';

const releaseMs = 10_000;
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
  /** A process with a mount namespace of its own, in which the commands have been run; what we unmount goes there, too. */
  namespace(commands: string): Promise<NamespaceHolder>;
  /** One that keeps a copy of this test's mounts of now, whatever we do. */
  apart(): Promise<NamespaceHolder>;
}

export interface NamespaceHolder {
  end(): Promise<void>;
}

const signOfLife = 'echo ready && exec cat';

/** It lives until its input ends, so it cannot outlive this process. */
async function holdNamespace([program, ...args]: Command): Promise<NamespaceHolder> {
  const child = spawn(program, args, {
    env: { ...process.env, PATH: sbin },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exited]);
  if (child.exitCode !== null) throw new Error(`the namespace was not made: ${args.join(' ')}`);
  return {
    async end() {
      child.stdin.end();
      await exited;
    },
  };
}

/** Another test's namespace may be about to give back what it got a copy of (scripts/own-mounts.sh). */
export async function detachWhenFree({ path, diskSequence }: AttachedLoop): Promise<void> {
  using limit = deadline(releaseMs, `the release of ${path}`);
  for (;;) {
    try {
      await detachLoop(path, diskSequence);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EBUSY') throw error;
      await pause(20, limit.signal).catch(async (late: unknown) => {
        throw new Error(`${path} is held by ${(await mountersOf([path])).join('; ')}`, { cause: late });
      });
    }
  }
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
  const owned = async (command: Command): Promise<NamespaceHolder> => {
    const holder = await holdNamespace(command);
    t.teardown(() => holder.end());
    return holder;
  };
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
      t.teardown(() => unlessGone(detachWhenFree(loop)));
      return loop;
    },
    async mount(request) {
      await mount(request);
      t.teardown(() => unlessGone(unmount(request.target)));
    },
    namespace: (commands) =>
      owned(['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', `${commands} && ${signOfLife}`]),
    apart: () => owned(withOwnMounts(['sh', '-c', signOfLife], folder)),
  };
}
