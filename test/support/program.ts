/** One of our programs, as it is installed, in a process of its own, with all that it says. Ends with the test. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { abortable, deadline } from '../../common/deadline.ts';

const root = join(import.meta.dirname, '../..');
/** A start on a machine that is very busy. */
const patienceMs = 60_000;

export interface Outcome {
  readonly code: number | null;
  /** Its log, in the order in which it was said. */
  readonly log: string;
}

export interface Program {
  readonly pid: number;
  /** Its log so far. */
  readonly log: () => string;
  /** Resolves when its log holds this; rejects when it ends before. */
  says(text: string | RegExp): Promise<void>;
  /** Resolves when it has ended. */
  ended(): Promise<Outcome>;
  stop(): Promise<Outcome>;
  kill(): Promise<void>;
}

/** @param prefix a program that starts ours, as unshare does */
export function startProgram(
  t: ExecutionContext,
  name: 'vmdk-plugin' | 'vmdkopsd',
  args: readonly string[],
  prefix: readonly string[] = [],
): Program {
  const [command = '', ...all] = [...prefix, join(root, 'bin', name), ...args];
  const child = spawn(command, all, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = { log: '' };
  child.stderr.on('data', (chunk) => (said.log += String(chunk)));
  const over = once(child, 'close');
  const ended = async (): Promise<Outcome> => {
    await within(over, `the end of ${name}`);
    return { code: child.exitCode, log: said.log };
  };
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await over;
  };
  t.teardown(kill);
  return {
    pid: child.pid ?? 0,
    log: () => said.log,
    ended,
    kill,
    says: (text) =>
      within(
        heard(child, over, () => matches(said.log, text)),
        `"${String(text)}" of ${name}`,
      ),
    async stop() {
      child.kill('SIGTERM');
      return await ended();
    },
  };
}

function matches(log: string, text: string | RegExp): boolean {
  return typeof text === 'string' ? log.includes(text) : text.test(log);
}

async function heard(
  child: ChildProcessByStdio<null, null, Readable>,
  over: Promise<unknown>,
  isSo: () => boolean,
): Promise<void> {
  const end = over.then(() => 'over' as const);
  while (!isSo()) {
    const next = await Promise.race([once(child.stderr, 'data').then(() => 'more' as const), end]);
    if (next === 'over' && !isSo()) throw new Error('it ended');
  }
}

async function within<T>(wait: Promise<T>, what: string): Promise<T> {
  using limit = deadline(patienceMs, what);
  return await abortable(wait, limit.signal);
}
