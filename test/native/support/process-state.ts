/** What this process holds of the system, for tests that nothing must be left over. */
import { readFile, readdir, readlink } from 'node:fs/promises';
import { deadline, pause } from '../../../common/deadline.ts';

const limitMs = 15_000;

/** The library's own threads are told by their names. */
export async function nativeThreads(): Promise<string[]> {
  const names = (await readdir('/proc/self/task')).map((id) =>
    readFile(`/proc/self/task/${id}/comm`, 'utf8').catch(() => ''),
  );
  return (await Promise.all(names)).filter((name) => name.startsWith('vmci-'));
}

/** Sockets only: Node opens and closes other descriptors as it likes. */
export async function openSockets(): Promise<number> {
  const targets = (await readdir('/proc/self/fd')).map((number) => readlink(`/proc/self/fd/${number}`).catch(() => ''));
  return (await Promise.all(targets)).filter((target) => target.startsWith('socket:')).length;
}

/** For what the system does in its own time and announces nowhere. Rejects when it does not come true. */
export async function eventually(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  using limit = deadline(limitMs, what);
  while (!(await isTrue())) await pause(2, limit.signal);
}
