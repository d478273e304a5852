/**
 * Images without a registry: one static busybox is the whole system. Two of them, because dockerd mounts a volume once
 * more, to copy into it, when the image has a folder where the volume goes.
 */
import { copyFile, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandResult, mustRun } from '../../../scripts/command.ts';

export const images = {
  /** Has no `/data`. */
  plain: 'vmdk-test/plain',
  /** Has `/data` with the file `from-image` in it. */
  withData: 'vmdk-test/with-data',
} as const;

type Docker = (args: readonly string[]) => Promise<CommandResult>;

export async function importImages(docker: Docker, folder: string): Promise<void> {
  const system = await importPlain(docker, folder);
  await mkdir(join(system, 'data'));
  await mustRun(['sh', '-c', 'echo image > "$1"/data/from-image', 'sh', system]);
  await importFolder(docker, system, images.withData);
}

/** Only the first. @returns the folder of its files */
export async function importPlain(docker: Docker, folder: string): Promise<string> {
  const system = join(folder, 'system');
  for (const name of ['bin', 'etc', 'tmp']) await mkdir(join(system, name), { recursive: true });
  const busybox = (await mustRun(['sh', '-c', 'command -v busybox'])).trim();
  await copyFile(busybox, join(system, 'bin/busybox'));
  const applets = (await mustRun([busybox, '--list'])).trim().split('\n');
  for (const applet of applets.filter((name) => name !== 'busybox')) {
    await symlink('busybox', join(system, 'bin', applet));
  }
  await importFolder(docker, system, images.plain);
  return system;
}

async function importFolder(docker: Docker, folder: string, image: string): Promise<void> {
  const tar = `${folder}.tar`;
  await mustRun(['tar', '--create', '--file', tar, '--directory', folder, '.']);
  const { code, stderr } = await docker(['import', '--change', 'CMD ["sh"]', tar, image]);
  if (code !== 0) throw new Error(`docker import of ${image} failed: ${stderr.trim()}`);
}
