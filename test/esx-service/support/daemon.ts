/** `vmdkopsd` as a process of its own, which can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Place } from './place.ts';
import { configIn } from './running.ts';

export const daemonProgram = join(import.meta.dirname, '../../../esx-service/main.ts');

export async function daemon(
  t: ExecutionContext,
  at: Place,
  config: Readonly<Record<string, unknown>> = {},
): Promise<ChildProcess> {
  for (const folder of ['local', 'spare']) await mkdir(at.path(folder), { recursive: true });
  await writeFile(at.path('config.json'), JSON.stringify({ ...configIn(at), ...config }));
  const child = spawn(process.execPath, [daemonProgram, '--config', at.path('config.json')], { stdio: 'ignore' });
  t.teardown(() => kill(child));
  return child;
}

/** At any instruction; may be called again. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
