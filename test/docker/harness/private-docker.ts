/**
 * A dockerd of our own, in a mount namespace of its own, with all of its files in one temporary folder, and our plugin
 * beside it. Invariant: it shares nothing with a dockerd of the system, and after `stop` nothing of it is left: no
 * process, mount, loop device, control group or file.
 *
 * TEST_PLUGIN_FORM=managed has dockerd run the plugin, and TEST_DOCKER_RELEASE=trixie takes the dockerd of that release of
 * Debian: the same tests in another form and on another generation.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { accepts, answersPing } from './answering.ts';
import {
  type Command,
  type CommandOptions,
  type CommandResult,
  mustRun,
  runCommand,
} from '../../../scripts/command.ts';
import { removeControlGroups } from './control-groups.ts';
import { Daemon } from './daemon.ts';
import { importImages } from './images.ts';
import { detachLoopsBelow } from './loops.ts';
import { ManagedPlugin } from './managed-plugin.ts';
import { MountNamespace, type NamespaceOptions } from './namespace.ts';
import { untilEnded } from './processes.ts';
import { type Surroundings, surroundings } from './surroundings.ts';

const root = dirname(dirname(dirname(import.meta.dirname)));
const startTimeoutMs = 40_000;

export interface PrivateDockerOptions extends Surroundings, NamespaceOptions {
  /** Containers survive the end of dockerd. */
  readonly liveRestore?: boolean;
  /** More arguments for dockerd. */
  readonly args?: readonly string[];
  /** Leave out the two images, which take most of a second. */
  readonly withoutImages?: boolean;
}

export interface PluginOptions {
  /** Replaces `--embedded`, whose service keeps its disks in `datastore`. */
  readonly args?: readonly string[];
  /** Added to the others. */
  readonly more?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export class PrivateDocker implements AsyncDisposable {
  /** All files of this dockerd are below it. */
  readonly folder: string;
  /** What is `/run` inside: `/run/docker/plugins/vmdk.sock` is at `join(runFolder, 'docker/plugins/vmdk.sock')`. */
  readonly runFolder: string;
  /** Where the plugin mounts; the mounts are seen inside only (`mounts()`). */
  readonly mountRoot: string;
  readonly stateFolder: string;
  readonly datastore: string;
  readonly adminSocket: string;
  /** In which form the plugin is started next. */
  isManaged: boolean;
  readonly #legacySocket: string;
  readonly #options: PrivateDockerOptions;
  readonly #namespace: MountNamespace;
  #dockerd: Daemon | undefined;
  #plugin: Daemon | undefined;
  #managed: ManagedPlugin | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(folder: string, namespace: MountNamespace, options: PrivateDockerOptions) {
    this.folder = folder;
    this.runFolder = runFolderOf(folder);
    this.mountRoot = join(folder, 'mnt');
    this.stateFolder = join(folder, 'state');
    this.datastore = join(folder, 'datastore');
    this.adminSocket = join(this.stateFolder, 'admin.sock');
    this.#legacySocket = join(this.runFolder, 'docker/plugins/vmdk.sock');
    this.#namespace = namespace;
    this.#options = options;
    this.isManaged = options.isManaged === true;
  }

  static async start(asked: PrivateDockerOptions = {}): Promise<PrivateDocker> {
    const options = { ...(await surroundings()), ...asked };
    const folder = await mkdtemp(join(tmpdir(), 'vmdk-docker-'));
    let docker: PrivateDocker | undefined;
    try {
      docker = new PrivateDocker(folder, await MountNamespace.open(runFolderOf(folder), options), options);
      for (const path of [docker.mountRoot, docker.stateFolder, docker.datastore]) await mkdir(path);
      await writeFile(join(folder, 'daemon.json'), '{}\n');
      await docker.startDockerd();
      if (!options.withoutImages) {
        const made = join(folder, 'images');
        await importImages((args) => docker?.docker(args) ?? Promise.reject(new Error('stopped')), made);
        await rm(made, { recursive: true });
      }
      return docker;
    } catch (error) {
      if (docker) await docker.stop();
      else await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** The docker command line against this dockerd. */
  docker(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(['docker', ...args], { ...options, env: { ...this.#environment(), ...options.env } });
  }

  /** As `docker`, for steps that must succeed: its trimmed output, or an error with what it said. */
  async mustDocker(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return (await mustRun(['docker', ...args], { ...options, env: { ...this.#environment(), ...options.env } })).trim();
  }

  get dockerd(): Daemon {
    if (!this.#dockerd) throw new Error('this dockerd is not started');
    return this.#dockerd;
  }

  /** As dockerd shows it. */
  get driverName(): string {
    return this.isManaged ? 'vmdk:latest' : 'vmdk';
  }

  get pluginSocket(): string {
    return (this.isManaged ? this.#managed?.socket : undefined) ?? this.#legacySocket;
  }

  get managed(): ManagedPlugin {
    if (!this.#managed) throw new Error('the managed plugin was not created');
    return this.#managed;
  }

  /** In its legacy form. */
  get plugin(): Daemon {
    if (!this.#plugin) throw new Error('the plugin is not started');
    return this.#plugin;
  }

  /** Starts a stopped or killed dockerd again, and waits until it answers. */
  async startDockerd(): Promise<void> {
    const { binFolder, liveRestore, args = [] } = this.#options;
    const path = binFolder === undefined ? process.env['PATH'] : `${binFolder}:${process.env['PATH'] ?? ''}`;
    const at = (name: string): string => join(this.folder, name);
    const dockerd = binFolder === undefined ? 'dockerd' : join(binFolder, 'dockerd');
    const command = [
      dockerd,
      ...['--host', this.#host(), '--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('docker.pid')],
      ...['--config-file', at('daemon.json'), '--cgroup-parent', `/${this.#controlGroup()}`],
      // Nothing of the machine's network is touched, whatever the machine allows.
      ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
      ...['--userland-proxy=false', '--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...(liveRestore ? ['--live-restore'] : []),
      ...args,
    ] as const;
    this.#dockerd = await Daemon.start({
      name: 'dockerd',
      command: this.#namespace.inside(command),
      // containerd leaves a dump of its stacks in the temporary folder when it is slow to end.
      env: { ...process.env, PATH: path, TMPDIR: this.folder },
      logFile: join(this.folder, 'dockerd.log'),
    });
    await this.#dockerd.waitUntil(() => answersPing(join(this.folder, 'docker.sock')), startTimeoutMs);
  }

  /** Ends dockerd as the system's service manager would, and starts it again. */
  async restartDockerd(): Promise<void> {
    await this.dockerd.stop();
    await this.startDockerd();
  }

  /** What a crash leaves: no clean-up of its own, except that the files which would forbid the next start are gone. */
  async killDockerd(): Promise<void> {
    const containerdFile = join(this.folder, 'exec/containerd/containerd.pid');
    const containerd = Number(await readFile(containerdFile, 'utf8'));
    await this.dockerd.kill9();
    // The kernel ends containerd with its parent. Where nobody reaps it, the next dockerd would take it for alive.
    await untilEnded([containerd], 10_000);
    for (const file of [join(this.folder, 'docker.pid'), containerdFile]) await rm(file, { force: true });
  }

  /** Starts our plugin inside, where dockerd looks for it, and waits until its socket accepts. */
  async startPlugin(options: PluginOptions = {}): Promise<void> {
    if (this.isManaged) await this.#startManaged(options);
    else await this.#startLegacy(options);
  }

  async #startManaged({ more = [], args, env }: PluginOptions): Promise<void> {
    if (args ?? env) throw new Error('the managed plugin takes no such options');
    // With a killed dockerd nobody would start it; the next one does.
    if (this.#managed && !this.dockerd.isRunning) return;
    this.#managed ??= await ManagedPlugin.create(this);
    await this.#managed.start(more);
  }

  async #startLegacy(options: PluginOptions): Promise<void> {
    if (this.#plugin?.isRunning) throw new Error('the plugin runs already');
    const places = [
      ['--socket', '/run/docker/plugins/vmdk.sock'],
      ['--mount-root', this.mountRoot],
      ['--state-dir', this.stateFolder],
      ['--docker-socket', join(this.folder, 'docker.sock')],
      options.more ?? [],
    ];
    const service = ['--embedded', '--datastore', this.datastore, '--admin-socket', this.adminSocket];
    const command = [join(root, 'bin/vmdk-plugin'), ...places.flat(), ...(options.args ?? service)] as const;
    // A socket file that a killed plugin left would be dialled before the new one listens.
    await mkdir(dirname(this.pluginSocket), { recursive: true });
    this.#plugin = await Daemon.start({
      name: 'vmdk-plugin',
      command: this.#namespace.inside(command),
      env: { ...process.env, ...options.env },
      logFile: join(this.folder, 'plugin.log'),
    });
    await this.#plugin.waitUntil(() => accepts(this.pluginSocket), options.timeoutMs ?? 10_000);
  }

  /** In order; what comes next is a start. */
  async stopPlugin(): Promise<void> {
    if (this.isManaged) await this.managed.disable();
    else await this.plugin.stop();
  }

  /** A managed one is started again by dockerd at once, as long as that lives. */
  async killPlugin(): Promise<void> {
    if (this.isManaged) await this.managed.kill();
    else await this.plugin.kill9();
  }

  /** As killed, and it stays away until it is started. */
  async takePluginAway(): Promise<void> {
    if (this.isManaged) await this.managed.disable();
    else await this.plugin.kill9();
  }

  /** A process that lives as long as this dockerd's namespaces. */
  get namespacePid(): number {
    return this.#namespace.pid;
  }

  /** The mount table inside, a line of mountinfo each. */
  mounts(): Promise<readonly string[]> {
    return this.#namespace.mounts();
  }

  /** Runs a program inside, to its end. */
  inside(command: readonly [string, ...string[]], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(this.#namespace.inside(command), options);
  }

  /** Starts another program inside, which its caller ends. */
  startInside(name: string, command: Command, env: NodeJS.ProcessEnv): Promise<Daemon> {
    const logFile = join(this.folder, `${name}.log`);
    return Daemon.start({ name, command: this.#namespace.inside(command), env, logFile });
  }

  /** Containers first, then dockerd, then the plugin, then everything they left. Once: later calls are the same stop. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    await this.#killContainers();
    await this.#dockerd?.stop();
    await this.#plugin?.stop();
    await this.#namespace.close();
    await detachLoopsBelow(this.folder);
    await removeControlGroups(this.#controlGroup());
    await rm(this.folder, { recursive: true, force: true });
  }

  /** dockerd would first ask them kindly, for ten seconds. If it cannot any more, the namespace ends them. */
  async #killContainers(): Promise<void> {
    if (!this.#dockerd?.isRunning) return;
    const { stdout } = await this.docker(['ps', '--quiet'], { timeoutMs: 5000 }).catch(() => ({ stdout: '' }));
    const ids = stdout.split('\n').filter((id) => id !== '');
    if (ids.length > 0) await this.docker(['kill', ...ids], { timeoutMs: 15_000 }).catch(() => undefined);
  }

  #host(): string {
    return `unix://${join(this.folder, 'docker.sock')}`;
  }

  #controlGroup(): string {
    return this.folder.slice(this.folder.lastIndexOf('/') + 1);
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, DOCKER_HOST: this.#host(), DOCKER_CONFIG: join(this.folder, 'cli'), DOCKER_CONTEXT: '' };
  }
}

function runFolderOf(folder: string): string {
  return join(folder, 'run');
}
