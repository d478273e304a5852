/** The two Debian packages: what is in each, and what it needs. Each has a Node of its own, so either works alone. */
import type { Program } from '../payload/bundles.ts';

export interface DebianPackage {
  readonly programs: readonly Program[];
  /** Below `packaging/configuration`; installed in /etc/docker-volume-vmdk. */
  readonly configuration: string;
  readonly dependencies: readonly string[];
  readonly recommended: readonly string[];
  readonly suggested: readonly string[];
  /** What can be made again, and goes on purge. */
  readonly state: readonly string[];
  /** Folders that hold volumes, and those around them: they go on purge only when they are empty. */
  readonly data: readonly string[];
  /** Of its `vmdkops`, where both packages are installed. */
  readonly priority: number;
  readonly summary: string;
  readonly description: string;
}

/** What Node and libvmci are linked with. */
const libraries = ['libc6 (>= 2.34)', 'libstdc++6 (>= 11)', 'libgcc-s1 (>= 3.4)', 'libblkid1 (>= 2.24)'];

export const debianPackages = {
  'docker-volume-vmdk': {
    programs: ['vmdk-plugin', 'vmdkops'],
    configuration: 'plugin.json',
    dependencies: [...libraries, 'e2fsprogs'],
    recommended: ['xfsprogs', 'btrfs-progs'],
    suggested: ['docker.io | docker-ce'],
    state: ['/var/cache/docker-volume-vmdk', '/var/lib/docker-volume-vmdk/plugin'],
    data: ['/var/lib/docker-volume-vmdk/datastore', '/var/lib/docker-volume-vmdk', '/mnt/vmdk'],
    priority: 10,
    summary: 'Docker volume driver whose volumes are virtual disks (VMDK)',
    description: `Each Docker volume is a virtual disk of its own: created on a datastore,
attached to the machine that runs the container, formatted once, mounted, and
detached when the last container has gone.
.
This package has the driver for the machine that runs Docker. It works alone,
with disks on a local folder, or with docker-volume-vmdk-service on the
hypervisor.`,
  },
  'docker-volume-vmdk-service': {
    programs: ['vmdkopsd', 'vmdkops'],
    configuration: 'esx-service.json',
    dependencies: libraries,
    recommended: [],
    suggested: ['docker-volume-vmdk', 'qemu-system'],
    state: ['/var/cache/docker-volume-vmdk'],
    data: ['/var/lib/docker-volume-vmdk-service/datastore', '/var/lib/docker-volume-vmdk-service'],
    priority: 20,
    summary: 'service that attaches virtual disks (VMDK) to virtual machines',
    description: `Each Docker volume is a virtual disk of its own, attached to the virtual
machine that runs the container.
.
This package has the service for the hypervisor's side: it keeps the catalog
of disks and attaches them to the machines whose Docker uses the driver of the
package docker-volume-vmdk.`,
  },
} as const satisfies Record<string, DebianPackage>;

export type PackageName = keyof typeof debianPackages;
export const packageNames = Object.keys(debianPackages) as readonly PackageName[];
