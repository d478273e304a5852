/** QMP sockets in a folder, by a pattern with one star: `/run/qemu/*.qmp`. What stands for the star is the VM's name. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export type QmpPattern = string;

export interface QmpSocket {
  readonly name: string;
  readonly path: string;
}

/** Where the VM of that name has its socket. */
export function socketOf(pattern: QmpPattern, name: string): string {
  return pattern.replace('*', () => name);
}

/** Those that are there; none when the folder is not. */
export async function socketsOf(pattern: QmpPattern): Promise<readonly QmpSocket[]> {
  const [before = '', after = ''] = basename(pattern).split('*');
  const entries = await readdir(dirname(pattern), { withFileTypes: true }).catch(() => []);
  return entries.flatMap((entry) => {
    const name = entry.name.slice(before.length, entry.name.length - after.length);
    const isMatch = entry.isSocket() && name !== '' && entry.name === `${before}${name}${after}`;
    return isMatch ? [{ name, path: join(dirname(pattern), entry.name) }] : [];
  });
}
