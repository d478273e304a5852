/**
 * A libvirt of one's own: this distribution's daemon in namespaces of its own, where its packages lie over /usr. It runs,
 * as its QEMUs do, as a user who may do nothing else here. Invariant: it ends with its owner, and all its domains with it.
 */
import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { abortable, deadline } from '../../../common/deadline.ts';
import { mustRun, runCommand, type CommandResult } from '../../../scripts/command.ts';
import { askApt, unpackPackages } from '../../guest/debian-packages.ts';
import { OwnedProcess } from '../../guest/owned-process.ts';
import { madeOnce } from '../../guest/workshop.ts';

const packages = ['libvirt-daemon', 'libvirt-daemon-driver-qemu', 'libvirt-clients'];
/** The daemon's other drivers would look after the networks, the storage and the devices of this machine. */
const wantedDriver = 'libvirt_driver_qemu.so';
const startMs = 60_000;
/** Its user: Debian's `nobody`. */
export const libvirtUser = 65534;

/**
 * Arguments: the packages' /usr, the daemon's folder, the folder of temporary files, the user. The daemon's folder stays
 * where it is, and those above it are replaced, since they may be closed to the daemon's user. The shell goes on, as the
 * namespace's first process: it has to take note of the end of each QEMU, which libvirt waits for.
 */
const script = `
mount -t overlay overlay -o "lowerdir=$1:/usr" /usr
mount --bind "$2" /mnt
mount -t tmpfs -o mode=755 tmpfs "$3"
mkdir -p "$2"
mount --bind /mnt "$2"
export HOME="$2" XDG_RUNTIME_DIR="$2/run" XDG_CONFIG_HOME="$2/etc" XDG_CACHE_HOME="$2/cache" XDG_DATA_HOME="$2/share"
setpriv --reuid "$4" --regid "$4" --clear-groups libvirtd --daemon
echo ready
tail -f /dev/null &
wait`;

export class Libvirt implements AsyncDisposable {
  readonly #folder: string;
  readonly #usr: string;
  readonly #process: OwnedProcess;

  private constructor(folder: string, usr: string, process: OwnedProcess) {
    this.#folder = folder;
    this.#usr = usr;
    this.#process = process;
  }

  /** @param folder below the folder of temporary files; all that the domains use must be there */
  static async start(folder: string): Promise<Libvirt> {
    const usr = await libvirtFiles();
    for (const name of ['run', 'etc', 'etc/libvirt', 'cache', 'share']) {
      await mkdir(join(folder, name));
      await chown(join(folder, name), libvirtUser, libvirtUser);
    }
    await chmod(folder, 0o711);
    // Otherwise the domains' messages go through one more daemon.
    await writeFile(join(folder, 'etc/libvirt/qemu.conf'), 'stdio_handler = "file"\n');
    const namespaces = ['--mount', '--propagation', 'slave', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const shell = ['sh', '-ec', script, 'sh', usr, folder, tmpdir(), String(libvirtUser)];
    const process = new OwnedProcess(['unshare', ...namespaces, ...shell]);
    try {
      using limit = deadline(startMs, 'the start of libvirtd');
      const failed = process.ended.then((): never => {
        throw new Error(`libvirtd does not start: ${process.complaints}`);
      });
      const ready = once(createInterface({ input: process.output }), 'line');
      await abortable(Promise.race([ready, failed]), limit.signal);
      return new Libvirt(folder, usr, process);
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  async virsh(...command: readonly string[]): Promise<CommandResult> {
    const socket = join(this.#folder, 'run/libvirt/libvirt-sock');
    const virsh = [join(this.#usr, 'bin/virsh'), '--connect', `qemu:///session?socket=${socket}`];
    const libraries = `LD_LIBRARY_PATH=${join(this.#usr, 'lib/x86_64-linux-gnu')}`;
    return await runCommand(['env', libraries, ...virsh, ...command]);
  }

  async mustVirsh(...command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.virsh(...command);
    if (code !== 0) throw new Error(`virsh ${command.join(' ')}: ${stderr}${await this.#logs()}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  async #logs(): Promise<string> {
    return (await runCommand(['sh', '-c', 'tail -n 3 "$1"/cache/libvirt/qemu/log/*.log', 'sh', this.#folder])).stdout;
  }
}

/** @returns the folder that is to be /usr as well */
async function libvirtFiles(): Promise<string> {
  const folder = await madeOnce('libvirt', 'debian', async (fresh) => {
    await mkdir(join(fresh, 'usr'));
    const simulate = [
      'env',
      'LC_ALL=C',
      'apt-get',
      '-s',
      '-q',
      '--no-install-recommends',
      'install',
      ...packages,
    ] as const;
    // One that is there in an older version stays as it is.
    const missing = await askApt(simulate, (text) => {
      const isAnswer = /^\d+ (?:upgraded|newly)/m.test(text);
      return isAnswer ? Array.from(text.matchAll(/^Inst (\S+) \(/gm), ([, name = '']) => name) : undefined;
    });
    if (missing.length > 0) await unpackPackages(fresh, missing);
    await mergeUsr(fresh);
    const drivers = join(fresh, 'usr/lib/x86_64-linux-gnu/libvirt/connection-driver');
    // None where libvirt is installed already.
    for (const file of await readdir(drivers).catch(() => [])) if (file !== wantedDriver) await rm(join(drivers, file));
  });
  return join(folder, 'usr');
}

/** Older packages have some of their libraries in /lib, which is a link to /usr/lib where they are installed. */
async function mergeUsr(folder: string): Promise<void> {
  await mustRun(['sh', '-c', 'if [ -d "$1/lib" ]; then cp -a "$1/lib" "$1/usr" && rm -r "$1/lib"; fi', 'sh', folder]);
}
