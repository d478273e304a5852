/**
 * The product as users run it, asked through the plugin's socket: embedded, in one process, or with the service apart
 * from the plugin. Invariant: its processes have ended when this was disposed.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverClient } from './driver-client.ts';
import { KeepAliveClient } from './keep-alive-client.ts';
import { MeasuredProcess, type ProcessSetup, type ProcessState } from './measured-process.ts';
import type { TestBed } from './test-bed.ts';

const programs = join(import.meta.dirname, '../../bin');

export type Form = 'embedded' | 'apart';

export interface ProductOptions extends Pick<ProcessSetup, 'toolFolder' | 'isProbed'> {
  readonly form?: Form;
}

interface Service {
  readonly process: MeasuredProcess;
  readonly startMs: number;
}

type How = Pick<ProcessSetup, 'toolFolder' | 'isProbed' | 'folder'> & { readonly form: Form };

export class Product implements AsyncDisposable {
  readonly socket: string;
  readonly #bed: TestBed;
  readonly #how: How;
  readonly #signal: AbortSignal;
  #plugin: MeasuredProcess | undefined;
  #startMs = 0;
  #service: Service | undefined;

  private constructor(bed: TestBed, how: How, signal: AbortSignal) {
    this.#bed = bed;
    this.#how = how;
    this.#signal = signal;
    this.socket = join(how.folder, 'plugin.sock');
  }

  /** @param name of the folder, in the bed's, that holds its files; a datastore may be in it already */
  static async start(
    bed: TestBed,
    name: string,
    signal: AbortSignal,
    { form = 'embedded', ...how }: ProductOptions = {},
  ): Promise<Product> {
    const folder = bed.path(name);
    for (const inner of ['mounts', 'state', 'datastore']) await mkdir(join(folder, inner), { recursive: true });
    const product = new Product(bed, { ...how, folder, form }, signal);
    await using opened = new AsyncDisposableStack();
    opened.use(product);
    if (form === 'apart') await product.restartService();
    await product.restartPlugin();
    opened.move();
    return product;
  }

  get plugin(): MeasuredProcess {
    if (!this.#plugin) throw new Error('the plugin does not run');
    return this.#plugin;
  }

  /** From the last start of the plugin's process to its first answer. */
  get startMs(): number {
    return this.#startMs;
  }

  /** Absent when embedded. */
  get service(): Service | undefined {
    return this.#service;
  }

  /** Kills it, if it runs, and starts it; resolves with its first answer. */
  async restartPlugin(): Promise<void> {
    const { folder, form } = this.#how;
    await this.#plugin?.kill();
    const command = [join(programs, 'vmdk-plugin'), ...pluginArguments(folder, form)] as const;
    const since = performance.now();
    const answers = async (within: AbortSignal): Promise<void> => {
      using client = await DriverClient.open(this.socket, within);
      await client.activate();
    };
    const setup = { ...this.#how, name: 'vmdk-plugin', command };
    this.#plugin = await MeasuredProcess.start(this.#bed, setup, answers, this.#signal);
    this.#startMs = performance.now() - since;
  }

  /** Kills it, if it runs, and starts it; resolves when it listens. Not for the embedded form. */
  async restartService(): Promise<void> {
    await this.#service?.process.kill();
    this.#service = await startService(this.#bed, this.#how, this.#signal);
  }

  client(): Promise<DriverClient> {
    return DriverClient.open(this.socket, this.#signal);
  }

  /** The plugin's. */
  state(): Promise<ProcessState> {
    return this.plugin.state();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#plugin?.[Symbol.asyncDispose]();
    await this.#service?.process[Symbol.asyncDispose]();
  }
}

const serviceSocket = (folder: string): string => join(folder, 'vm.sock');

function pluginArguments(folder: string, form: Form): readonly string[] {
  const at = (file: string): string => join(folder, file);
  return [
    ...['--log-level', 'warn', '--socket', at('plugin.sock'), '--mount-root', at('mounts'), '--state-dir', at('state')],
    ...(form === 'embedded'
      ? ['--embedded', '--datastore', at('datastore'), '--admin-socket', at('admin.sock')]
      : ['--service', `unix://${serviceSocket(folder)}`]),
  ];
}

async function startService(bed: TestBed, how: How, signal: AbortSignal): Promise<Service> {
  const { folder } = how;
  const socket = serviceSocket(folder);
  const file = join(folder, 'service.json');
  const config = {
    datastores: { local: join(folder, 'datastore') },
    vms: [{ name: 'this-machine', socket }],
    adminSocket: join(folder, 'admin.sock'),
    logLevel: 'warn',
  };
  await writeFile(file, JSON.stringify(config));
  const command = [join(programs, 'vmdkopsd'), '--config', file] as const;
  const since = performance.now();
  const listens = async (within: AbortSignal): Promise<void> => {
    using _client = await KeepAliveClient.open(socket, within);
  };
  const process = await MeasuredProcess.start(bed, { ...how, name: 'vmdkopsd', command }, listens, signal);
  return { process, startMs: performance.now() - since };
}
