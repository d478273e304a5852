/**
 * Runs the checks, the build and the tests, then looks whether anything was left behind, and ends with
 * "N passed, N failed". The exit code is 0 only when all that was asked for held.
 *
 *   run-tests.ts                        everything
 *   run-tests.ts --checks               format, lint, layers, unused code, types
 *   run-tests.ts --tests [FILE…]        the build and these tests (AVA's patterns; default: all)
 *   run-tests.ts --coverage [FILE…]     the same, with the coverage of lines and branches
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { deadline, pause } from '../common/deadline.ts';
import { detachLoopsBelow, unmountBelow } from '../test/docker/harness/loops.ts';
import { killIfAlive } from '../test/docker/harness/processes.ts';
import { runAva } from './test-run/ava-run.ts';
import { buildCheck, runCheck, runChecks } from './test-run/checks.ts';
import {
  leftBehind,
  markedProcesses,
  observeMachine,
  runFolderPrefix,
  type MachineState,
} from './test-run/leftovers.ts';
import { Tally } from './test-run/tally.ts';

const wholeRunMs = 45 * 60_000;
/** The kernel finishes some ends (a loop device's, a killed process's) a moment after they were asked for. */
const settleMs = 3000;

const tally = new Tally();
const [mode = '--all', ...files] = process.argv.slice(2);
const stopped = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => stopped.abort(new Error(`stopped by ${name}`)));
}
// The reader went away: still end the tests and clean up.
process.stdout.on('error', (error) => stopped.abort(error));

{
  using limit = deadline(wholeRunMs, 'the whole run', stopped.signal);
  switch (mode) {
    case '--all':
      await runChecks(tally, limit.signal);
      await runTests(files, false, limit.signal);
      break;
    case '--checks':
      await runChecks(tally, limit.signal);
      break;
    case '--tests':
    case '--coverage':
      await runTests(files, mode === '--coverage', limit.signal);
      break;
    default:
      tally.fail('arguments', `unknown: ${mode}`);
  }
  if (limit.signal.aborted) tally.fail('the run came to its end', String(limit.signal.reason));
}
process.exitCode = tally.finish();

async function runTests(wanted: readonly string[], withCoverage: boolean, signal: AbortSignal): Promise<void> {
  await runCheck(buildCheck, tally, signal);
  if (signal.aborted) return;
  const before = await observeMachine();
  const folder = await mkdtemp(join(tmpdir(), runFolderPrefix));
  try {
    await runAva({ files: wanted, folder, withCoverage }, tally, signal);
  } finally {
    await judgeLeftovers(before, folder);
  }
}

async function judgeLeftovers(before: MachineState, folder: string): Promise<void> {
  const found = await settled(async () => [
    ...(await markedProcesses(folder)).map(({ pid, command }) => `process ${pid}: ${command}`),
    ...leftBehind(before, await observeMachine(), folder).filter((text) => text !== `file ${folder}`),
    ...(await readdir(folder)).map((name) => `file ${join(folder, name)}`),
  ]);
  // They carry the mark of this run, so nobody else waits for them.
  for (const { pid } of await markedProcesses(folder)) killIfAlive(pid);
  await unmountBelow(folder);
  await detachLoopsBelow(folder);
  await rm(folder, { recursive: true, force: true });
  if (found.length === 0) tally.pass('the run left nothing behind');
  else tally.fail('the run left nothing behind', found.join('\n'));
}

/** Asks until the answer is empty, at most for the settling time. */
async function settled(ask: () => Promise<readonly string[]>): Promise<readonly string[]> {
  using limit = deadline(settleMs, 'settling');
  for (;;) {
    const answer = await ask();
    if (answer.length === 0 || limit.signal.aborted) return answer;
    await pause(50, limit.signal).catch(() => undefined);
  }
}
