/** The process table, as far as ending processes needs it. One that nobody has reaped yet counts as ended. */
import { readdir, readFile } from 'node:fs/promises';
import { deadline, pause } from '../../../common/deadline.ts';

/** The processes that this is true of, and all that descend from one of them; children first. */
export async function processTree(isRoot: (pid: number) => Promise<boolean>): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const roots = new Set<number>();
  const parents = new Map<number, number>();
  for (const pid of pids) {
    if (await isRoot(pid)) roots.add(pid);
    const parent = (await statOf(pid))?.parent;
    if (parent !== undefined) parents.set(pid, parent);
  }
  const descends = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined; at = parents.get(at)) if (roots.has(at)) return true;
    return false;
  };
  return pids.filter(descends).toReversed();
}

/** Fails when one of them is alive after this time, and says which. */
export async function untilEnded(pids: readonly number[], timeoutMs: number): Promise<void> {
  using limit = deadline(timeoutMs, `the end of the processes ${pids.join(', ')}`);
  for (const pid of pids) {
    while (await isAlive(pid)) await pause(10, limit.signal);
  }
}

export function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}

async function isAlive(pid: number): Promise<boolean> {
  const found = await statOf(pid);
  return found !== undefined && found.state !== 'Z' && found.state !== 'X';
}

async function statOf(pid: number): Promise<{ state: string; parent: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may hold anything; state and parent come after it.
  const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return text === '' || state === undefined ? undefined : { state, parent: Number(parent) };
}
