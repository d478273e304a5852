/** What is checked without running the product: each check is a tool and how it is called. */
import { spawn } from 'node:child_process';
import type { Tally } from './tally.ts';

interface Check {
  readonly title: string;
  readonly command: readonly [string, ...string[]];
}

const cruised = ['common', 'native', 'plugin', 'esx-service', 'packaging', 'scripts', 'test'];

/** Longest first, since two run at once. */
const checks: readonly Check[] = [
  { title: 'check: lint', command: ['eslint', '.', '--max-warnings', '0'] },
  { title: 'check: types', command: ['tsc', '--project', '.'] },
  { title: 'check: no unused files, exports or packages', command: ['knip', '--no-progress'] },
  { title: 'check: layers', command: ['depcruise', '--output-type', 'err', ...cruised] },
  { title: 'check: format', command: ['prettier', '--check', '--cache', '--log-level', 'warn', '.'] },
];

export const buildCheck: Check = { title: 'build: bundles', command: ['node', 'scripts/build.ts'] };

export async function runChecks(tally: Tally, signal: AbortSignal): Promise<void> {
  const waiting = checks.values();
  const worker = async (): Promise<void> => {
    for (const check of waiting) await runCheck(check, tally, signal);
  };
  await Promise.all([worker(), worker()]);
}

/** Says how it went; resolves in any case. */
export async function runCheck(check: Check, tally: Tally, signal: AbortSignal): Promise<void> {
  const [program, ...args] = check.command;
  const started = performance.now();
  const output: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk));
  child.on('error', (error) => resolve(error.message));
  child.on('close', (code, killedBy) => resolve(code === 0 ? '' : `ended with ${String(killedBy ?? code)}`));
  const failure = await promise;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const title = `${check.title} (${seconds} s)`;
  if (failure) tally.fail(title, `${Buffer.concat(output).toString().trim()}\n${failure}`);
  else tally.pass(title);
}
