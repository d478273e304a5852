/**
 * A mount namespace for one private dockerd. Inside it `/run` is a folder of ours and `/etc/docker` is empty, so the
 * places that dockerd has hard-coded (plugin sockets, containerd's shims) are not the system's. It is a slave of its
 * maker's mount tree: unmounts reach it, so it keeps no foreign disk busy, and its own mounts stay inside; a private one gives foreign disks back.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, readlink } from 'node:fs/promises';
import { abortable, deadline } from '../../../common/deadline.ts';
import type { Command } from '../../../scripts/command.ts';
import { withOwnMounts } from '../../../scripts/own-mounts.ts';
import { killIfAlive, processTree, untilEnded } from './processes.ts';

/** Ends when its standard input does: with us, however we end. */
const holderScript = `
set -e
mkdir -p /etc/docker
mount --bind "$1" /run
mount -t tmpfs tmpfs /etc/docker
mount "--make-r$2" /
[ "$3" = shared ] || ip link set lo up
echo ready
exec cat
`;
export interface NamespaceOptions {
  /** How the mounts below `/` are propagated, as the host's administrator may have set it. */
  readonly propagation?: 'shared' | 'private';
  /** A network namespace, too, with nothing in it but the loopback device. */
  readonly hasOwnNetwork?: boolean;
}

const readyTimeoutMs = 10_000;
const endTimeoutMs = 10_000;

export class MountNamespace implements AsyncDisposable {
  readonly #holder: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #id: string;
  readonly #hasOwnNetwork: boolean;

  private constructor(holder: ChildProcess, ended: Promise<unknown>, id: string, hasOwnNetwork: boolean) {
    this.#holder = holder;
    this.#ended = ended;
    this.#id = id;
    this.#hasOwnNetwork = hasOwnNetwork;
  }

  /** @param runFolder what stands at `/run` inside */
  static async open(
    runFolder: string,
    { propagation = 'shared', hasOwnNetwork = false }: NamespaceOptions = {},
  ): Promise<MountNamespace> {
    await mkdir(runFolder, { recursive: true });
    const words = [runFolder, propagation, hasOwnNetwork ? 'own' : 'shared'];
    const holding = ['sh', '-c', holderScript, 'sh', ...words] as const;
    const mounts: Command =
      propagation === 'private' ? withOwnMounts(holding) : ['unshare', '--mount', '--propagation', 'slave', ...holding];
    const holder = spawn('unshare', [...(hasOwnNetwork ? ['--net'] : []), '--', ...mounts], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // Ctrl-C must not take the namespace from those who are still to be ended inside.
      detached: true,
    });
    const ended = new Promise((resolve) => {
      holder.once('close', resolve);
    });
    const ready = new Promise((resolve, reject) => {
      holder.once('error', reject);
      holder.stdout.once('data', resolve);
      void ended.then((code) =>
        reject(new Error(`no mount namespace could be made (unshare ended with ${String(code)})`)),
      );
    });
    using limit = deadline(readyTimeoutMs, 'making a mount namespace');
    try {
      await abortable(ready, limit.signal);
    } catch (error) {
      holder.kill('SIGKILL');
      throw error;
    }
    return new MountNamespace(holder, ended, await readlink(`/proc/${String(holder.pid)}/ns/mnt`), hasOwnNetwork);
  }

  /** A process inside that lives as long as the namespace. */
  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** The same command, inside. nsenter resets the working directory, so paths must be absolute. */
  inside(command: Command): Command {
    const of = `/proc/${String(this.#holder.pid)}/ns`;
    const network = this.#hasOwnNetwork ? [`--net=${of}/net`] : [];
    return ['nsenter', `--mount=${of}/mnt`, ...network, '--', ...command];
  }

  /** The mount table as a process inside reads it. */
  async mounts(): Promise<readonly string[]> {
    return (await readFile(`/proc/${String(this.#holder.pid)}/mountinfo`, 'utf8')).trimEnd().split('\n');
  }

  /**
   * Every process that runs inside, and all that descend from one (containers have a namespace of their own), newest
   * first; without the holder. These are ours: nobody else can enter by accident.
   */
  members(): Promise<readonly number[]> {
    return processTree(async (pid) => {
      const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => '');
      return namespace === this.#id && pid !== this.#holder.pid;
    });
  }

  /** Kills what is still inside, then lets the namespace and its mounts go. */
  async close(): Promise<void> {
    const members = await this.members();
    for (const pid of members) killIfAlive(pid);
    await untilEnded(members, endTimeoutMs);
    this.#holder.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
