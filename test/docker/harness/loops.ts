/** Loop devices by the files behind them, and mounts by where they are: for cleaning up after programs that were killed. */
import { readdir, readFile } from 'node:fs/promises';
import { mustRun } from './command.ts';

/** The devices ("/dev/loop3") whose backing file is, or was, below this folder. */
export async function loopsBelow(folder: string): Promise<readonly string[]> {
  const names = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'));
  const backing = await Promise.all(
    names.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '')),
  );
  return names.filter((_, index) => backing[index]?.startsWith(`${folder}/`)).map((name) => `/dev/${name}`);
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
