/**
 * A Debian of its own, booted: systemd is process 1 of its namespaces, and its root is a small Debian that was made once,
 * under an overlay that takes what is written. The kernel and the network are this machine's. Invariant: after the test
 * nothing of it runs, and no mount, loop device, control group or file of it is left.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { deadline, pause } from '../../../common/deadline.ts';
import { machinesFolder, smallDebian } from '../../../packaging/debian/small-debian.ts';
import { type Command, type CommandResult, mustRun, runCommand } from '../../../scripts/command.ts';
import { removeControlGroups } from '../../docker/harness/control-groups.ts';

const packages = ['systemd', 'systemd-sysv', 'e2fsprogs', 'mount', 'libstdc++6', 'libblkid1'];
const bootMs = 60_000;

export class Machine {
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #pid: number;

  private constructor(folder: string, child: ChildProcess, pid: number) {
    this.#folder = folder;
    this.#child = child;
    this.#pid = pid;
  }

  /** @param prepare acts on the root folder before it is booted: nothing runs there yet */
  static async boot(t: ExecutionContext, prepare: (root: OfflineRoot) => Promise<void>): Promise<Machine> {
    const lower = await smallDebian('debian', packages);
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'machine-')));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await prepare(new OfflineRoot(lower, folder));
    const group = `machine-${process.pid}-${folder.slice(-6)}`;
    t.teardown(() => removeControlGroups(group));
    t.teardown(() => detachLoopsOf(folder));
    const script = join(import.meta.dirname, 'machine.sh');
    const enter = `${await joinGroup(group)}; exec unshare --mount --propagation slave --pid --cgroup --ipc --uts --fork --kill-child "$@"`;
    const command = ['sh', '-c', enter, 'sh', 'sh', script, lower, folder, packagesFolder];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const ended = once(child, 'exit');
    t.teardown(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    using limit = deadline(bootMs, 'booting the machine');
    const pid = await firstProcess(child, limit.signal);
    const machine = new Machine(folder, child, pid);
    t.teardown(() => machine.#stop());
    await machine.until('is-system-running', async () => {
      const { stdout } = await machine.try('systemctl', 'is-system-running');
      return /^(running|degraded)$/m.test(stdout);
    });
    return machine;
  }

  /** Of a file of the machine, as this machine's programs reach it. */
  path(inside: string): string {
    return join(`/proc/${this.#pid}/root`, inside);
  }

  /** Runs a command in it. */
  async try(...command: Command): Promise<CommandResult> {
    const enter = ['nsenter', '--target', String(this.#pid), '--mount', '--pid', '--cgroup', '--ipc', '--uts', '--'];
    const plain = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive'];
    return runCommand([...enter, ...plain, ...command] as unknown as Command, { timeoutMs: bootMs });
  }

  /** As `try`, for what must succeed. */
  async run(...command: Command): Promise<string> {
    const { code, stdout, stderr } = await this.try(...command);
    if (code !== 0)
      throw new Error(`"${command.join(' ')}" ended with ${code}: ${stderr}${stdout}\n${await this.journal()}`);
    return stdout;
  }

  async journal(): Promise<string> {
    return (await this.try('journalctl', '--no-pager', '-o', 'short', '-n', '40')).stdout;
  }

  /** Asks until it is so. */
  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    using limit = deadline(bootMs, what);
    while (!(await isSo())) {
      await pause(50, limit.signal).catch(async (error: unknown) => {
        throw new Error(`${what}: not in time\n${await this.journal()}`, { cause: error });
      });
    }
  }

  /** A property that systemd tells of a unit. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.run('systemctl', 'show', '--value', '--property', name, unit)).trim();
  }

  async put(inside: string, text: string): Promise<void> {
    await mkdir(join(this.path(inside), '..'), { recursive: true });
    await writeFile(this.path(inside), text);
  }

  /** In order, so that the daemons let go their devices. */
  async #stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    await this.try('systemctl', '--no-block', 'poweroff');
    using limit = deadline(bootMs, `stopping the machine in ${this.#folder}`);
    await Promise.race([ended, once(limit.signal, 'abort')]);
  }
}

/** The machine's files before it is booted. */
export class OfflineRoot {
  readonly #lower: string;
  readonly #folder: string;

  constructor(lower: string, folder: string) {
    this.#lower = lower;
    this.#folder = folder;
  }

  /** In a change-root, without systemd, as an installer does it. */
  async run(command: string): Promise<string> {
    const script = `set -e
      cd "$2"; mkdir -p upper work root
      mount -t overlay machine -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" root
      mount -t proc proc root/proc; mount -t tmpfs tmpfs root/run; mount --rbind /dev root/dev
      mkdir -p root/srv/packages; mount --bind "$3" root/srv/packages
      exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive chroot root sh -c "$4"`;
    await mkdir(packagesFolder, { recursive: true });
    const args = [this.#lower, this.#folder, packagesFolder, command];
    return mustRun(['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', script, 'sh', ...args], {
      timeoutMs: bootMs,
    });
  }
}

/** What a machine that was killed leaves. Its paths are its own, so the files are known by their numbers. */
async function detachLoopsOf(folder: string): Promise<void> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const disks = files.filter((file) => file.name.endsWith('.vmdk')).map((file) => join(file.parentPath, file.name));
  const inodes = new Set(await Promise.all(disks.map(async (path) => String((await stat(path)).ino))));
  const lines = (await mustRun(['losetup', '--list', '--noheadings', '--output', 'NAME,BACK-INO'])).trim().split('\n');
  for (const [name = '', inode = ''] of lines.map((line) => line.split(/\s+/))) {
    if (inodes.has(inode)) await mustRun(['losetup', '--detach', name]);
  }
}

/** Packages that are made for tests; in an offline root they are in /srv/packages. */
export const packagesFolder = join(machinesFolder, 'packages');

/** Shell text that moves the shell into a control group of this name, in each hierarchy that systemd needs. */
async function joinGroup(name: string): Promise<string> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' - '));
  const wanted = lines.filter(([, kind = '']) => kind.startsWith('cgroup2 ') || kind.includes('name=systemd'));
  const folders = wanted.map(([place = '']) => join(place.split(' ')[4] ?? '', name));
  return folders.map((folder) => `mkdir '${folder}' && echo $$ >'${folder}/cgroup.procs'`).join('; ');
}

async function firstProcess(child: ChildProcess, signal: AbortSignal): Promise<number> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the machine ended at once with ${child.exitCode}`);
    const list = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').catch(() => '');
    const pid = Number(list.trim().split(' ')[0]);
    const comm = pid > 0 ? await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '') : '';
    if (comm.trim() === 'systemd') return pid;
    await pause(20, signal);
  }
}
