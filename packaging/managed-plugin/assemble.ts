/** A folder that `docker plugin create` takes: `config.json` and `rootfs/`. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Architecture } from '../payload/architectures.ts';
import { assemblePayload, installedFolder, writeNotices } from '../payload/payload.ts';
import { sourceDate } from '../payload/project.ts';
import { settleTree } from '../payload/tree.ts';
import { pluginConfig } from './config.ts';
import { addSystemFiles } from './system-files.ts';

/** @param folder must not exist, or be empty */
export async function assemblePlugin(architecture: Architecture, folder: string): Promise<void> {
  const rootfs = join(folder, 'rootfs');
  await mkdir(rootfs, { recursive: true });
  await assemblePayload({ architecture, folder: rootfs, programs: ['vmdk-plugin'], withoutLaunchers: true });
  const home = join(rootfs, installedFolder);
  const ours = ['bin/node', 'build/libvmci.so', 'build/ffi_bindings.node', 'build/ref_bindings.node'];
  const system = await addSystemFiles(
    architecture,
    rootfs,
    ours.map((name) => join(home, name)),
  );
  await writeNotices(home, system);
  const places = pluginConfig.mounts.map(({ destination }) => destination);
  for (const place of [...places, pluginConfig.propagatedMount, '/proc', '/sys', '/run']) {
    await mkdir(join(rootfs, place), { recursive: true });
  }
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(pluginConfig, undefined, 2)}\n`);
  await settleTree(folder, await sourceDate());
  await chmod(join(rootfs, 'tmp'), 0o1777);
}
