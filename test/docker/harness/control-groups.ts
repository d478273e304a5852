/** Control groups that a dockerd made for its containers. They are folders that only rmdir removes, once empty. */
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

const hierarchies = '/sys/fs/cgroup';

/** Removes this group, which must have no processes any more, from every hierarchy. */
export async function removeControlGroups(name: string): Promise<void> {
  const controllers = await readdir(hierarchies).catch(() => []);
  for (const folder of [hierarchies, ...controllers.map((controller) => join(hierarchies, controller))]) {
    await removeTree(join(folder, name));
  }
}

async function removeTree(folder: string): Promise<void> {
  const children = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const child of children) if (child.isDirectory()) await removeTree(join(folder, child.name));
  await rmdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENOTDIR')
      throw error;
  });
}
