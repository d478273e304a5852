/**
 * Containers that run although their dockerd does not know it: it was killed between their start and its own note of it,
 * and takes them for never started from then on. They use their volumes like any other, so only their end frees these.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PrivateDocker } from '../docker/harness/private-docker.ts';
import { killIfAlive, untilEnded } from '../docker/harness/processes.ts';

const hierarchies = '/sys/fs/cgroup';
const endMs = 10_000;

/** Ends them. Nothing may be starting meanwhile. @returns how many there were */
export async function endForgottenContainers(docker: PrivateDocker): Promise<number> {
  const known = new Set((await docker.mustDocker(['ps', '--quiet', '--no-trunc'])).split('\n'));
  const forgotten = [...(await processesByContainer(docker))].filter(([id]) => !known.has(id));
  for (const [, pids] of forgotten) {
    for (const pid of pids) killIfAlive(pid);
    await untilEnded(pids, endMs);
  }
  return forgotten.length;
}

/** By the control groups that this dockerd alone puts its containers into. */
async function processesByContainer({ folder }: PrivateDocker): Promise<ReadonlyMap<string, readonly number[]>> {
  const parent = folder.slice(folder.lastIndexOf('/') + 1);
  const roots = [hierarchies, ...(await namesIn(hierarchies)).map((name) => join(hierarchies, name))];
  const found = new Map<string, readonly number[]>();
  for (const root of roots) {
    for (const id of await namesIn(join(root, parent))) {
      const text = await readFile(join(root, parent, id, 'cgroup.procs'), 'utf8').catch(() => '');
      const pids = text.split('\n').filter((line) => line !== '');
      if (pids.length > 0) found.set(id, pids.map(Number));
    }
  }
  return found;
}

function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}
