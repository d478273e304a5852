/**
 * The plugin in its managed form, run by a private dockerd. It is the one that `npm run package:plugin` makes, but for two
 * things: its Node is mounted rather than packed, which saves dockerd five seconds of packing in each test; and it sees
 * the private dockerd's folders by their own paths, so that a test finds its disks where it looks for them.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deadline, pause } from '../../../common/deadline.ts';
import { assemblePlugin } from '../../../packaging/managed-plugin/assemble.ts';
import { pluginConfig } from '../../../packaging/managed-plugin/config.ts';
import { installedFolder } from '../../../packaging/payload/payload.ts';
import { partsFolder, projectFolder } from '../../../packaging/payload/project.ts';
import { madeOnce } from '../../../scripts/made-once.ts';
import { accepts } from './answering.ts';
import { untilEnded } from './processes.ts';

export interface ManagedPlaces {
  /** Of the private dockerd. */
  readonly folder: string;
  readonly runFolder: string;
  readonly stateFolder: string;
  readonly datastore: string;
  readonly adminSocket: string;
  mustDocker(args: readonly string[], options?: { timeoutMs?: number }): Promise<string>;
}

const name = 'vmdk';
/** The path of a socket may have 107 bytes, of which its folder's name would take more than half. */
const socketLink = 'plugin.run';
const enableMs = 60_000;
const readyMs = 30_000;
const endMs = 10_000;

export class ManagedPlugin {
  readonly #places: ManagedPlaces;
  readonly #id: string;
  #isEnabled = false;

  private constructor(places: ManagedPlaces, id: string) {
    this.#places = places;
    this.#id = id;
  }

  /** Makes it known to dockerd; it is not enabled yet. */
  static async create(places: ManagedPlaces): Promise<ManagedPlugin> {
    const folder = join(places.folder, 'plugin');
    await mkdir(folder);
    const made = await packagedPlugin();
    await cp(join(made, 'rootfs'), join(folder, 'rootfs'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => path !== join(made, 'rootfs', node),
    });
    await writeFile(join(folder, 'config.json'), JSON.stringify(configFor(places, join(made, 'rootfs', node))));
    await places.mustDocker(['plugin', 'create', `${name}:latest`, folder], { timeoutMs: enableMs });
    await rm(folder, { recursive: true });
    const id = await places.mustDocker(['plugin', 'inspect', '--format', '{{.Id}}', name]);
    await symlink(join(places.runFolder, 'docker/plugins', id), join(places.folder, socketLink));
    return new ManagedPlugin(places, id);
  }

  /** As the host sees it. */
  get socket(): string {
    return join(this.#places.folder, socketLink, 'vmdk.sock');
  }

  /**
   * Enables it with these flags of the legacy form, or waits for the one that dockerd starts again by itself.
   * @param flags pairs such as "--sweep-grace-ms", "1000"
   */
  async start(flags: readonly string[]): Promise<void> {
    if (!this.#isEnabled) {
      await this.#places.mustDocker(['plugin', 'set', name, 'VMDK_EMBEDDED=true', ...settingsOf(flags)]);
      await this.#places.mustDocker(['plugin', 'enable', name], { timeoutMs: enableMs });
      this.#isEnabled = true;
    }
    await this.untilReady();
  }

  async untilReady(): Promise<void> {
    using limit = deadline(readyMs, 'the managed plugin');
    while (!(await accepts(this.socket))) await pause(20, limit.signal);
  }

  /** dockerd starts it again at once. */
  async kill(): Promise<void> {
    const pid = await this.pid();
    process.kill(pid, 'SIGKILL');
    await untilEnded([pid], endMs);
  }

  /** dockerd ends it, and does not start it again. */
  async disable(): Promise<void> {
    await this.#places.mustDocker(['plugin', 'disable', '--force', name], { timeoutMs: enableMs });
    this.#isEnabled = false;
  }

  /** Of its process, while it runs. */
  async pid(): Promise<number> {
    const tasks = 'exec/containerd/daemon/io.containerd.runtime.v2.task/plugins.moby';
    return Number(await readFile(join(this.#places.folder, tasks, this.#id, 'init.pid'), 'utf8'));
  }
}

const node = `${installedFolder}/bin/node`;

let packaged: Promise<string> | undefined;

/** Made anew when a source has changed; once for all tests of a file, which ask for it at the same time. */
export function packagedPlugin(): Promise<string> {
  return (packaged ??= makePlugin());
}

async function makePlugin(): Promise<string> {
  const hash = createHash('sha256');
  for (const part of ['common', 'native', 'plugin', 'esx-service', 'packaging', 'scripts']) {
    const entries = await readdir(join(projectFolder, part), { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    for (const file of files.toSorted()) hash.update(await readFile(file));
  }
  hash.update(await readFile(join(projectFolder, 'package-lock.json')));
  return madeOnce(partsFolder, 'plugin-amd64', hash.digest('hex').slice(0, 16), (fresh) =>
    assemblePlugin('amd64', fresh),
  );
}

function configFor(places: ManagedPlaces, nodeOnHost: string): object {
  const { folder, stateFolder, datastore, adminSocket } = places;
  const bind = (mountName: string, source: string, destination: string, option: string): object => ({
    ...{ name: mountName, description: '', source, destination, type: 'bind' },
    ...{ options: ['bind', option], settable: null },
  });
  const own: Readonly<Record<string, string>> = {
    VMDK_STATE_DIR: stateFolder,
    VMDK_DATASTORE: datastore,
    VMDK_ADMIN_SOCKET: adminSocket,
  };
  return {
    ...pluginConfig,
    mounts: [
      ...pluginConfig.mounts.filter((mount) => mount.name === 'dev'),
      bind('state', stateFolder, stateFolder, 'rw'),
      bind('datastore', datastore, datastore, 'rw'),
      bind('docker', folder, '/run/host', 'ro'),
      bind('node', nodeOnHost, `/${node}`, 'ro'),
    ],
    env: pluginConfig.env.map((variable) => ({ ...variable, value: own[variable.name] ?? variable.value })),
  };
}

function settingsOf(flags: readonly string[]): readonly string[] {
  return flags.flatMap((flag, index) =>
    flag.startsWith('--') ? [`VMDK_${flag.slice(2).replaceAll('-', '_').toUpperCase()}=${flags[index + 1] ?? ''}`] : [],
  );
}
