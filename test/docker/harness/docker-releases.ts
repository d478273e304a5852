/** Another generation of dockerd than the installed one, unpacked from its packages. */
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { unpackedPackages } from '../../../packaging/payload/debian-archive.ts';
import { partsFolder } from '../../../packaging/payload/project.ts';
import { madeOnce } from '../../../scripts/made-once.ts';

/** The installed runc serves it as well, and theirs needs a newer C library. */
const packages = ['containerd', 'docker.io'];
const programs = ['usr/sbin/dockerd', 'usr/bin/containerd', 'usr/bin/containerd-shim-runc-v2', 'usr/bin/ctr'];

/**
 * @param release Debian's name, such as trixie, whose docker.io is 26.1
 * @returns a folder with its dockerd and containerd
 */
export async function dockerOfRelease(release: string): Promise<string> {
  const system = await unpackedPackages({ architecture: 'amd64', release }, `docker-${release}`, packages);
  return madeOnce(partsFolder, `dockerd-${release}`, 'programs', async (fresh) => {
    for (const path of programs) await symlink(join(system, path), join(fresh, path.slice(path.lastIndexOf('/') + 1)));
  });
}
