/**
 * One run of AVA. Its processes form a session of their own and carry the mark of this run, so that they can be ended,
 * and found when they were forgotten. Resolves only when that session's leader has ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import process from 'node:process';
import { runMark } from './leftovers.ts';
import { readTapLine } from './tap.ts';
import type { Tally } from './tally.ts';

/** After this long without an end a stopped run is killed. */
const stopGraceMs = 15_000;

export interface AvaRun {
  readonly files: readonly string[];
  readonly folder: string;
  readonly withCoverage: boolean;
}

export async function runAva(run: AvaRun, tally: Tally, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const coverage = run.withCoverage ? ['c8'] : [];
  const [program = '', ...args] = [...coverage, 'ava', '--tap', ...run.files];
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: run.folder, [runMark]: run.folder },
  });
  using _stop = stopOnAbort(child, signal);
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, killedBy) => resolve(code === 0 ? '' : `AVA ended with ${String(killedBy ?? code)}`));
  });
  const failures = await report(child.stdout, tally);
  const failure = await ended;
  // Its own failure count is told by its tests; a silent end is not.
  if (failure && failures === 0) tally.fail('test run', failure);
}

/** Reads to the end of the output; the lines below a failed test are its explanation. */
async function report(output: NodeJS.ReadableStream, tally: Tally): Promise<number> {
  let failures = 0;
  let failed: { title: string; why: string[] } | undefined;
  const tell = (): void => {
    if (failed) tally.fail(failed.title, failed.why.join('\n'));
    failed = undefined;
  };
  for await (const line of createInterface({ input: output })) {
    const outcome = readTapLine(line);
    if (!outcome) {
      if (/^(TAP version|1\.\.\d|# (tests|pass|fail|skip|todo) )/.test(line)) tell();
      else if (failed) failed.why.push(line);
      else if (line.trim() !== '') console.log(`       ${line}`);
      continue;
    }
    tell();
    if (!outcome.failure) {
      tally.pass(outcome.title);
      continue;
    }
    failures += 1;
    failed = { title: outcome.failure === 'failed' ? outcome.title : `${outcome.title} (${outcome.failure})`, why: [] };
  }
  tell();
  return failures;
}

function stopOnAbort(child: ChildProcess, signal: AbortSignal): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const send = (name: NodeJS.Signals): void => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    // The negative number means its whole process group: AVA and its workers.
    process.kill(-child.pid, name);
  };
  const stop = (): void => {
    send('SIGTERM');
    timer = setTimeout(send, stopGraceMs, 'SIGKILL');
  };
  signal.addEventListener('abort', stop, { once: true });
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    },
  };
}
