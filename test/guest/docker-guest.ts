/**
 * A virtual machine with a dockerd and our plugin in it, used by the docker command line of this machine, over vsock: so
 * no program has to be started in the guest for each command. Invariant: what dockerd and the plugin keep is on a disk
 * of the machine's own, which outlives its kills; when it is disposed, nothing of it is left but its folder.
 */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { type Command, type CommandOptions, type CommandResult, mustRun, runCommand } from '../../scripts/command.ts';
import { importPlain } from '../docker/harness/images.ts';
import { Guest } from './guest.ts';
import { GuestProgram } from './guest-program.ts';

const bridgePort = 7001;
const dockerSocket = '/var/run/docker.sock';
const diskSize = '1G';
const memoryMebibytes = 768;
const commandMs = 120_000;
const keptCharacters = 6000;

/** What a system's start would have made ready for dockerd. The disk is the third, after the root and the project. */
const preparation = `
set -e
mkdir -p /var/run /dev/pts /dev/shm /dev/mqueue
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t ext4 /dev/vdc /var/lib
mount --make-rshared /
`;
const dockerdArguments = [
  ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
  ...['--userland-proxy=false', '--exec-opt', 'native.cgroupdriver=cgroupfs', '--storage-driver=overlay2'],
].join(' ');

export class DockerGuest implements AsyncDisposable {
  readonly #folder: string;
  readonly #doors: Server;
  #running: { readonly guest: Guest; readonly plugin: GuestProgram; readonly dockerd: GuestProgram } | undefined;

  private constructor(folder: string, doors: Server) {
    this.#folder = folder;
    this.#doors = doors;
  }

  /** Makes the machine, switched off. @param folder made here, the caller's to remove */
  static async make(folder: string): Promise<DockerGuest> {
    await mkdir(folder);
    const disk = join(folder, 'disk');
    await mustRun(['truncate', '--size', diskSize, disk]);
    await mustRun(['sh', '-c', 'PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q "$1"', 'sh', disk]);
    const doors = createServer({ allowHalfOpen: true });
    const made = new DockerGuest(folder, doors);
    doors.on('connection', (outer) => void made.#admit(outer));
    doors.listen(join(folder, 'docker'));
    await once(doors, 'listening');
    return made;
  }

  /** Where its sockets are, also while it is switched off. */
  static socketsIn(folder: string, port: number): { readonly qmp: string; readonly socket: string } {
    return { qmp: join(folder, 'qmp'), socket: join(folder, `vsock_${port}`) };
  }

  get guest(): Guest {
    if (!this.#running) throw new Error('this machine is switched off');
    return this.#running.guest;
  }

  /** In the order of a system's start: the plugin, then dockerd. */
  async boot(): Promise<void> {
    const disk = ['-drive', `id=disk,if=none,format=raw,cache=unsafe,file=${join(this.#folder, 'disk')}`];
    const guest = await Guest.boot({
      folder: this.#folder,
      memoryMebibytes,
      // A second one makes emulation dearer, and what follows is a chain of single programs anyway.
      processors: 1,
      arguments: [...disk, '-device', 'virtio-blk-pci,drive=disk'],
    });
    try {
      await guest.mustRun(preparation);
      const plugin = await GuestProgram.start(guest, '/vmdk/bin/vmdk-plugin', 'plugin ready');
      const [dockerd] = await Promise.all([
        GuestProgram.start(guest, `dockerd ${dockerdArguments}`, 'API listen on'),
        GuestProgram.startOurs(guest, 'bridge', 'listening', String(bridgePort), dockerSocket),
      ]);
      this.#running = { guest, plugin, dockerd };
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw error;
    }
  }

  async importImage(): Promise<void> {
    await importPlain((args) => this.docker(args), join(this.#folder, 'image'));
  }

  docker(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(this.commandOf(args), { timeoutMs: commandMs, ...options });
  }

  /** As `docker`, for steps that must succeed: its trimmed output, or an error with what it said. */
  async mustDocker(...args: readonly string[]): Promise<string> {
    return (await mustRun(this.commandOf(args), { timeoutMs: commandMs })).trim();
  }

  /** For who runs it by himself. */
  commandOf(args: readonly string[]): Command {
    return [
      'docker',
      '--config',
      join(this.#folder, 'cli'),
      '--host',
      `unix://${join(this.#folder, 'docker')}`,
      ...args,
    ];
  }

  /** The end of what the plugin and dockerd have said since the last start. */
  get output(): string {
    const [plugin = '', dockerd = ''] = [this.#running?.plugin, this.#running?.dockerd].map((program) =>
      program?.output.slice(-keptCharacters),
    );
    return `plugin: ${plugin}\ndockerd: ${dockerd}`;
  }

  /** SIGKILL to its QEMU; what it had not written to its disks is lost. It can be booted again. */
  async kill(): Promise<void> {
    await this.#running?.guest.kill();
    await this.#running?.guest[Symbol.asyncDispose]();
    this.#running = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#doors.close();
  }

  /** A connection of the command line. */
  async #admit(outer: Socket): Promise<void> {
    try {
      const inner = await this.guest.vsock.dial(bridgePort);
      pipeline(outer, inner, () => undefined);
      pipeline(inner, outer, () => undefined);
    } catch {
      outer.destroy();
    }
  }
}
