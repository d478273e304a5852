/**
 * A machine as a reader of the documents has it: a dockerd, the commands on the search path, the files where they
 * belong. Its `/etc`, `/var/lib`, `/srv` and `/mnt` are its own; they lie over the real ones in a mount namespace.
 * Invariant: nothing that was done on it is seen outside, and after `close` nothing of it is left.
 */
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import type { CommandResult } from '../../scripts/command.ts';
import type { Daemon } from '../docker/harness/daemon.ts';
import { images } from '../docker/harness/images.ts';
import { accepts } from '../docker/harness/answering.ts';
import { PrivateDocker } from '../docker/harness/private-docker.ts';
import { projectFolder } from './documents.ts';

const daemonNames = ['vmdk-plugin', 'vmdkopsd'] as const;
type DaemonName = (typeof daemonNames)[number];

const sockets: Readonly<Record<DaemonName, string>> = {
  'vmdk-plugin': 'docker/plugins/vmdk.sock',
  vmdkopsd: 'docker-volume-vmdk/admin.sock',
};
/** Which this dockerd says of itself: it may touch nothing of the machine's network. */
const networkWarning = /^WARNING: IPv4 forwarding is disabled.*\n/gm;
const readyTimeoutMs = 20_000;
/** The demo is a command, too. */
const commandTimeoutMs = 110_000;

/** `$1` is a folder of ours; what is mounted over it keeps what the loop devices stand on in real folders. */
const ownFoldersScript = `
set -e
for place in /etc /var/lib; do
  mkdir -p "$1/upper$place" "$1/work$place"
  mount -t overlay -o "lowerdir=$place,upperdir=$1/upper$place,workdir=$1/work$place" overlay "$place"
done
mount -t tmpfs tmpfs /etc/docker
for place in /srv /mnt /var/lib/docker-volume-vmdk; do
  mkdir -p "$1/own$place" "$place"
  mount --bind "$1/own$place" "$place"
done
`;
const emptiedScript =
  'rm -rf /srv/* /etc/docker-volume-vmdk /var/lib/docker-volume-vmdk/* && mkdir -p /etc/docker-volume-vmdk';
/** What the product leaves when it is ended in the middle. A device is known by the file behind it: paths tell nothing. */
const detachedScript = `
grep -o ' /mnt/vmdk/[^ ]*' /proc/mounts | xargs --no-run-if-empty umount
find /srv /var/lib/docker-volume-vmdk -name '*-flat.vmdk' -exec stat --format '%Hd:%Ld %i' '{}' + |
  while read -r device inode; do
    losetup --noheadings --output NAME,BACK-MAJ:MIN,BACK-INO | awk -v d="$device" -v i="$inode" '$2 == d && $3 == i { print $1 }'
  done | xargs --no-run-if-empty losetup --detach
`;

export class Machine implements AsyncDisposable {
  readonly #docker: PrivateDocker;
  readonly #running = new Map<DaemonName, Daemon>();

  private constructor(docker: PrivateDocker) {
    this.#docker = docker;
  }

  static async open(): Promise<Machine> {
    const docker = await PrivateDocker.start();
    const machine = new Machine(docker);
    try {
      // Below the temporary folder's own file system: an overlay cannot lie on another one everywhere.
      await machine.#must(['mount', '-t', 'tmpfs', 'tmpfs', docker.mountRoot]);
      await machine.#must(['sh', '-c', ownFoldersScript, 'sh', docker.mountRoot]);
      await symlink(join(docker.folder, 'docker.sock'), join(docker.runFolder, 'docker.sock'));
      await docker.mustDocker(['tag', images.plain, 'busybox']);
      await docker.mustDocker(['create', '--name', 'model', images.plain, 'sleep', '3600']);
      await docker.mustDocker(['commit', 'model', 'postgres']);
      return machine;
    } catch (error) {
      await machine.close();
      throw error;
    }
  }

  /** As it is for whoever begins to read a document: the embedded plugin runs, and there are no volumes. */
  async reset(): Promise<void> {
    await this.#removeAll();
    await this.#stop(...daemonNames);
    await this.#must(['sh', '-c', emptiedScript]);
    await this.#start('vmdk-plugin', 'vmdk-plugin --embedded');
  }

  async writeFile(path: string, content: string): Promise<void> {
    const scratch = join(this.#docker.folder, 'written');
    await writeFile(scratch, content);
    await this.#must(['install', '-D', '--mode', '644', scratch, path]);
  }

  /** The two daemons go on, each in the place of the one before; everything else runs to its end, npm in our sources. */
  async run(command: string): Promise<CommandResult> {
    const name = daemonNames.find((daemon) => command.startsWith(`${daemon} -`) || command === daemon);
    if (!name || /--(?:help|version)/.test(command)) {
      const script = `cd "$1" && { ${command}\n} 2>&1`;
      const folder = command.startsWith('npm ') ? projectFolder : await this.#home();
      const env = this.#environment();
      const ran = await this.#docker.inside(['sh', '-c', script, 'sh', folder], { env, timeoutMs: commandTimeoutMs });
      return { ...ran, stdout: ran.stdout.replaceAll(networkWarning, '') };
    }
    await this.#start(name, command);
    return { code: 0, stdout: '', stderr: '' };
  }

  async close(): Promise<void> {
    await this.#removeAll();
    await this.#stop(...daemonNames);
    await this.#docker.inside(['sh', '-c', detachedScript]);
    await this.#docker.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(name: DaemonName, command: string): Promise<void> {
    // Whoever separates the two begins anew: the embedded plugin's volumes are not the service's.
    if (name === 'vmdkopsd') await this.#removeAll();
    await this.#stop(...(name === 'vmdkopsd' ? daemonNames : [name]));
    const socket = join(this.#docker.runFolder, sockets[name]);
    await mkdir(dirname(socket), { recursive: true });
    const daemon = await this.#docker.startInside(name, ['sh', '-c', `exec ${command}`], this.#environment());
    this.#running.set(name, daemon);
    await daemon.waitUntil(() => accepts(socket), readyTimeoutMs);
  }

  async #stop(...names: readonly DaemonName[]): Promise<void> {
    for (const name of names) {
      await this.#running.get(name)?.stop();
      this.#running.delete(name);
      await rm(join(this.#docker.runFolder, sockets[name]), { force: true });
    }
  }

  async #removeAll(): Promise<void> {
    const script =
      'docker ps --all --quiet | xargs --no-run-if-empty docker rm --force; docker volume ls --quiet | xargs --no-run-if-empty docker volume rm --force';
    await this.run(script);
  }

  async #home(): Promise<string> {
    const home = join(this.#docker.folder, 'home');
    await mkdir(home, { recursive: true });
    return home;
  }

  async #must(command: readonly [string, ...string[]]): Promise<void> {
    const { code, stdout, stderr } = await this.#docker.inside(command);
    if (code !== 0) throw new Error(`"${command.join(' ')}" ended with ${code}: ${stderr || stdout}`);
  }

  #environment(): NodeJS.ProcessEnv {
    const path = `${join(projectFolder, 'bin')}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
    const own = this.#docker.folder;
    return { PATH: path, HOME: process.env['HOME'], TMPDIR: own, LANG: 'C.UTF-8', DOCKER_CONFIG: join(own, 'cli') };
  }
}
