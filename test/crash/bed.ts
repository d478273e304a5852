/**
 * Where programs crash: plugin and service, or the plugin with the service in it, in a folder and a mount namespace of
 * their own. Invariant: after its disposal no mount, loop device, process or file of it is left.
 */
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { deadline } from '../../common/deadline.ts';
import { mustRun } from '../../scripts/command.ts';
import { detachLoopsBelow } from '../docker/harness/loops.ts';
import { MountNamespace } from '../docker/harness/namespace.ts';
import { type Answer, PluginDoor } from '../soak/plugin-door.ts';
import { Side, type SideSetup } from './side.ts';

const root = join(import.meta.dirname, '../..');
/** Above all that one crash and its recovery may take. */
const patienceMs = 60_000;
/** How long a volume that nobody uses keeps its references; a fifth of it is the time between two looks. */
const sweepGraceMs = 20_000;

export type Form = 'apart' | 'embedded';
export type SideName = 'plugin' | 'service';

export interface Places {
  readonly folder: string;
  readonly datastore: string;
  readonly disks: string;
  readonly state: string;
  readonly mountRoot: string;
  readonly vmSocket: string;
  readonly dockerSocket: string;
  readonly adminSocket: string;
  /** Looked through for tools before the system's folders; empty at first. */
  readonly tools: string;
}

export class CrashBed implements AsyncDisposable {
  readonly form: Form;
  readonly places: Places;
  readonly plugin: Side;
  /** The plugin when embedded. */
  readonly service: Side;
  readonly #namespace: MountNamespace;
  readonly #owned: AsyncDisposableStack;

  private constructor(
    form: Form,
    places: Places,
    namespace: MountNamespace,
    sides: Sides,
    owned: AsyncDisposableStack,
  ) {
    this.form = form;
    this.places = places;
    this.plugin = sides.plugin;
    this.service = sides.service;
    this.#namespace = namespace;
    this.#owned = owned;
  }

  /** All programs run when it resolves. */
  static async open(form: Form): Promise<CrashBed> {
    await using opening = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'vmdk-crash-'));
    opening.defer(() => rm(folder, { recursive: true, force: true }));
    opening.defer(() => detachLoopsBelow(folder));
    const places = placesIn(folder);
    for (const name of ['ds', 'state', 'mounts', 'channel', 'docker', 'admin', 'run', 'tools'])
      await mkdir(join(folder, name));
    const namespace = opening.use(await MountNamespace.open(join(folder, 'run')));
    const library = await buildLibrary(folder);
    const sides = form === 'embedded' ? embedded(places, namespace, library) : await apart(places, namespace, library);
    opening.use(sides.service);
    opening.use(sides.plugin);
    const bed = new CrashBed(form, places, namespace, sides, new AsyncDisposableStack());
    await bed.startAll();
    bed.#owned.use(opening.move());
    return bed;
  }

  /** The programs, the one that others need first. */
  get sides(): readonly Side[] {
    return this.form === 'embedded' ? [this.plugin] : [this.service, this.plugin];
  }

  side(name: SideName): Side {
    return name === 'plugin' ? this.plugin : this.service;
  }

  /** Starts those that do not run. */
  async startAll(): Promise<void> {
    await this.#letTimePass();
    for (const side of this.sides) if (!side.isRunning) await side.start();
  }

  mounts(): Promise<readonly string[]> {
    return this.#namespace.mounts();
  }

  /** A path of the plugin's mount namespace, as it can be reached from here. */
  inside(path: string): string {
    return `/proc/${this.#holderPid}/root${path}`;
  }

  /** One request of Docker, on a connection of its own. */
  async ask(verb: string, body: Readonly<Record<string, unknown>>): Promise<Answer> {
    using limit = deadline(patienceMs, `${verb} ${JSON.stringify(body)}`);
    using door = new PluginDoor(this.places.dockerSocket, limit.signal);
    return await door.verb(verb, body);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }

  /** Where sockets are born, what is young may belong to a start under way, and is left alone; so it gets old here. */
  async #letTimePass(): Promise<void> {
    const { state, dockerSocket, adminSocket, vmSocket } = this.places;
    const longAgo = new Date(Date.now() - 3_600_000);
    for (const folder of [state, ...[dockerSocket, adminSocket, vmSocket].map(dirname)]) {
      const names = (await readdir(folder)).filter((name) => name.startsWith('.s'));
      for (const name of names) await utimes(join(folder, name), longAgo, longAgo);
    }
  }

  get #holderPid(): string {
    const [, namespace = ''] = this.#namespace.inside(['true']);
    return /\/proc\/(\d+)\//.exec(namespace)?.[1] ?? '';
  }
}

interface Sides {
  readonly plugin: Side;
  readonly service: Side;
}

function placesIn(folder: string): Places {
  const at = (name: string): string => join(folder, name);
  return {
    folder,
    datastore: at('ds'),
    disks: at('ds/dockvols/_DEFAULT'),
    state: at('state'),
    mountRoot: at('mounts'),
    vmSocket: at('channel/vm.sock'),
    dockerSocket: at('docker/plugin.sock'),
    adminSocket: at('admin/admin.sock'),
    tools: at('tools'),
  };
}

async function buildLibrary(folder: string): Promise<string> {
  const library = join(folder, 'crash.so');
  const sources = ['steps.c', 'calls.c'].map((file) => join(import.meta.dirname, file));
  await mustRun(['cc', '-std=c11', '-O2', '-fPIC', '-shared', '-o', library, ...sources, '-ldl', '-lpthread']);
  return library;
}

function setupOf(
  places: Places,
  library: string,
  rest: Pick<SideSetup, 'name' | 'command' | 'readyMessage'>,
): SideSetup {
  const { folder, disks, datastore, state, mountRoot, tools } = places;
  const roles = [
    ['disks', disks],
    ['datastore', datastore],
    ['private', join(state, 'mnt')],
    ['state', state],
    ['mounts', mountRoot],
    ...['channel', 'docker', 'admin'].map((name) => [name, join(folder, name)] as const),
  ] as const;
  return { folder, library, tools, roles, ...rest };
}

function pluginSide(places: Places, namespace: MountNamespace, library: string, args: readonly string[]): Side {
  const command = namespace.inside([
    join(root, 'bin/vmdk-plugin'),
    ...['--socket', places.dockerSocket, '--mount-root', places.mountRoot, '--state-dir', places.state],
    ...['--sweep-grace-ms', String(sweepGraceMs), '--docker-socket', ''],
    ...args,
  ]);
  return new Side(setupOf(places, library, { name: 'plugin', command, readyMessage: 'plugin ready' }));
}

function embedded(places: Places, namespace: MountNamespace, library: string): Sides {
  const { datastore, adminSocket } = places;
  const both = pluginSide(places, namespace, library, [
    ...['--embedded', '--datastore', datastore, '--admin-socket', adminSocket],
  ]);
  return { plugin: both, service: both };
}

async function apart(places: Places, namespace: MountNamespace, library: string): Promise<Sides> {
  const { folder, datastore, adminSocket, vmSocket } = places;
  const configFile = join(folder, 'esx-service.json');
  await writeFile(
    configFile,
    JSON.stringify({ datastores: { local: datastore }, vms: [{ name: 'crash', socket: vmSocket }], adminSocket }),
  );
  const command = [join(root, 'bin/vmdkopsd'), '--config', configFile] as const;
  const service = new Side(setupOf(places, library, { name: 'service', command, readyMessage: 'started' }));
  return { service, plugin: pluginSide(places, namespace, library, ['--service', `unix://${vmSocket}`]) };
}
