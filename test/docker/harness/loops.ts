/** Loop devices by the files behind them, and mounts by where they are: for cleaning up after programs that were killed. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { mustRun } from '../../../scripts/command.ts';

const listSchema = z.object({
  loopdevices: z.array(
    z.object({
      name: z.string(),
      'back-ino': z.number(),
      'back-maj:min': z.string(),
      'back-file': z.string().nullable(),
    }),
  ),
});

/**
 * The devices ("/dev/loop3") whose backing file is, or was, below this folder. By the file's number too: its name is no
 * more than an end of it once the mount namespace has gone in which the device was attached.
 */
export async function loopsBelow(folder: string): Promise<readonly string[]> {
  const columns = 'NAME,BACK-INO,BACK-MAJ:MIN,BACK-FILE';
  const text = await mustRun(['losetup', '--list', '--json', '--output', columns]);
  const { loopdevices } = listSchema.parse(text.trim() === '' ? { loopdevices: [] } : JSON.parse(text));
  const files = loopdevices.length === 0 ? new Set() : await filesBelow(folder);
  return loopdevices
    .filter((loop) => {
      const isNamed = loop['back-file']?.startsWith(`${folder}/`) === true;
      return isNamed || files.has(`${loop['back-maj:min'].trim()} ${loop['back-ino']}`);
    })
    .map(({ name }) => name)
    .toSorted();
}

async function filesBelow(folder: string): Promise<ReadonlySet<string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const numbers = entries
    .filter((entry) => entry.isFile())
    .map(async ({ parentPath, name }) => {
      const { dev, ino } = await stat(join(parentPath, name));
      return `${(dev >> 8) & 0xfff}:${dev & 0xff} ${ino}`;
    });
  const found = await Promise.allSettled(numbers);
  return new Set(found.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])));
}

/** For what a killed program left: nothing may be mounted from them any more. */
export async function detachLoopsBelow(folder: string): Promise<void> {
  for (const device of await loopsBelow(folder)) await mustRun(['losetup', '--detach', device]);
}

/** Newest first. Fails when one is in use: nobody may then remove the folder, since that would remove the mounted data. */
export async function unmountBelow(folder: string): Promise<void> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).trimEnd().split('\n');
  const points = lines.map((line) => line.split(' ')[4] ?? '').filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.toReversed()) await mustRun(['umount', point]);
}
