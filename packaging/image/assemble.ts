/** The image of the service, for machines where it runs in a container beside the hypervisor. No shell, no package manager. */
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { version } from '../../common/version.ts';
import { addSystemFiles } from '../managed-plugin/system-files.ts';
import type { Architecture } from '../payload/architectures.ts';
import { assemblePayload, installedFolder, writeNotices } from '../payload/payload.ts';
import { sourceDate } from '../payload/project.ts';
import { settleTree } from '../payload/tree.ts';
import { writeImageLayout } from './layout.ts';

export const imageReference = `docker-volume-vmdk-service:${version}`;

/** As bin/launch.sh starts it. */
const entrypoint = [
  `/${installedFolder}/bin/node`,
  '--max-semi-space-size=2',
  '--no-opt',
  `/${installedFolder}/dist/vmdkopsd.js`,
];
const binaries = ['bin/node', 'build/libvmci.so', 'build/ffi_bindings.node', 'build/ref_bindings.node'];

/** @param folder is made, in place of what was there */
export async function assembleImage(architecture: Architecture, folder: string): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const work = await mkdtemp(join(dirname(folder), '.new-'));
  try {
    const root = join(work, 'root');
    const layout = join(work, 'layout');
    await mkdir(layout);
    await fillRoot(architecture, root);
    await writeImageLayout({
      architecture,
      root,
      folder: layout,
      date: await sourceDate(),
      reference: imageReference,
      config: {
        Entrypoint: entrypoint,
        Env: ['PATH=/usr/sbin:/usr/bin', 'UV_THREADPOOL_SIZE=16', 'MALLOC_ARENA_MAX=1'],
        WorkingDir: '/',
        StopSignal: 'SIGTERM',
      },
      annotations: {
        'org.opencontainers.image.title': 'docker-volume-vmdk-service',
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.licenses': 'Apache-2.0 AND MIT',
      },
    });
    await settleTree(layout, await sourceDate());
    await rm(folder, { recursive: true, force: true });
    await rename(layout, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function fillRoot(architecture: Architecture, root: string): Promise<void> {
  const options = { architecture, folder: root, withoutLaunchers: true } as const;
  await assemblePayload({ ...options, programs: ['vmdkopsd', 'vmdkops'] });
  const home = join(root, installedFolder);
  const ours = binaries.map((name) => join(home, name));
  await writeNotices(home, await addSystemFiles(architecture, root, ours, []));
  for (const name of ['etc/docker-volume-vmdk', 'run', 'proc', 'sys', 'dev']) {
    await mkdir(join(root, name), { recursive: true });
  }
  await settleTree(root, await sourceDate());
  await chmod(join(root, 'tmp'), 0o1777);
}
