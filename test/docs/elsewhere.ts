/**
 * The blocks, and the single commands, that `commands.test.ts` cannot run or read itself, each with what does it instead.
 * Invariant: each entry is of a block that is there; an entry that matches nothing fails the test, and so does a block
 * that is in no entry and that the test does not know how to run.
 */
export interface Elsewhere {
  readonly file: string;
  /** How the block, or the command of a `console` block, begins. */
  readonly begins: string;
  /** The test, or the program of ours, that does it: file and, where one test does it, what stands in its title. */
  readonly shownBy: readonly [file: string, title?: string];
  readonly why: string;
}

export const elsewhere: readonly Elsewhere[] = [
  {
    file: 'docs/managed-plugin.md',
    begins: 'npm run package:plugin',
    shownBy: ['test/packaging/managed-plugin.test.ts', 'made twice'],
    why: 'it makes what that test makes, for both architectures',
  },
  {
    file: 'docs/managed-plugin.md',
    begins: 'mkdir -p /var/lib',
    shownBy: ['test/packaging/managed.test.ts', 'said where the user looks'],
    why: 'the state folder of a test is not that of the machine',
  },
  {
    file: 'docs/managed-plugin.md',
    begins: 'docker plugin install',
    shownBy: ['test/packaging/registry.test.ts', 'upgraded with its data'],
    why: 'it is done there with a registry of the test',
  },
  {
    file: 'docs/managed-plugin.md',
    begins: 'docker plugin upgrade',
    shownBy: ['test/packaging/registry.test.ts', 'upgraded with its data'],
    why: 'it is done there with a registry of the test',
  },
  {
    file: 'docs/managed-plugin.md',
    begins: 'docker plugin',
    shownBy: ['test/packaging/managed.test.ts', 'over its own removal'],
    why: 'it is done there with folders of the test',
  },
  {
    file: 'docs/managed-plugin.md',
    begins: 'docker volume create',
    shownBy: ['test/packaging/managed.test.ts', 'over its own removal'],
    why: 'it is done there with folders of the test',
  },
  {
    file: 'docs/managed-plugin.md',
    begins: 'docker run',
    shownBy: ['test/packaging/managed.test.ts', 'over its own removal'],
    why: 'it is done there with an image that is there',
  },
  {
    file: 'README.md',
    begins: 'git clone REPOSITORY',
    shownBy: ['scripts/setup.sh'],
    why: 'the test run began with it',
  },
  {
    file: 'docs/install.md',
    begins: 'git clone REPOSITORY',
    shownBy: ['scripts/setup.sh'],
    why: 'the test run began with it',
  },
  {
    file: 'docs/install.md',
    begins: 'npm run build',
    shownBy: ['scripts/run-tests.ts', 'buildCheck'],
    why: 'the test run began with it; again, it would replace what other tests are running',
  },
  {
    file: 'docs/qemu.md',
    begins: 'qm set 100 --args',
    shownBy: ['test/docs/qemu-arguments.test.ts'],
    why: 'Proxmox is not to be had here',
  },
  {
    file: 'docs/qemu.md',
    begins: "<domain type='kvm'",
    shownBy: ['test/esx-service/libvirt.test.ts'],
    why: 'libvirt is unpacked there',
  },
  {
    file: 'docs/qemu.md',
    begins: 'd /run/docker-volume-vmdk     0755',
    shownBy: ['test/esx-service/libvirt.test.ts'],
    why: 'systemd-tmpfiles does not run here',
  },
  {
    file: 'docs/qemu.md',
    begins: '/run/docker-volume-vmdk/qmp/*.qmp rw,',
    shownBy: ['docs/qemu.md', 'AppArmor, SELinux'],
    why: 'told in the document as not tested: AppArmor is not to be had here',
  },
  {
    file: 'docs/swarm.md',
    begins: 'docker service create',
    shownBy: ['test/docker/swarm.test.ts'],
    why: 'a swarm is made there, in a network namespace of its own',
  },
  {
    file: 'docs/swarm.md',
    begins: 'docker service ps',
    shownBy: ['test/docker/swarm.test.ts'],
    why: 'a swarm is made there',
  },
  {
    file: 'docs/swarm.md',
    begins: 'docker volume inspect db-1',
    shownBy: ['test/docker/swarm.test.ts'],
    why: 'a swarm is made there',
  },
  {
    file: 'docs/swarm.md',
    begins: 'losetup --detach /dev/loop7',
    shownBy: ['test/docker/swarm.test.ts'],
    why: 'which device it is, is known there',
  },
];
