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

interface Started {
  readonly startMs: number;
  readonly socket: string;
  readonly plugin: MeasuredProcess;
  /** Absent when embedded. */
  readonly service: { readonly process: MeasuredProcess; readonly startMs: number } | undefined;
  readonly signal: AbortSignal;
}

export class Product implements AsyncDisposable {
  /** From the start of the plugin's process to its first answer. */
  readonly startMs: number;
  readonly socket: string;
  readonly plugin: MeasuredProcess;
  readonly service: Started['service'];
  readonly #signal: AbortSignal;

  private constructor({ startMs, socket, plugin, service, signal }: Started) {
    this.startMs = startMs;
    this.socket = socket;
    this.plugin = plugin;
    this.service = service;
    this.#signal = signal;
  }

  /** @param name of the folder, in the bed's, that holds its files; a datastore may be in it already */
  static async start(
    bed: TestBed,
    name: string,
    signal: AbortSignal,
    { form = 'embedded', ...how }: ProductOptions = {},
  ): Promise<Product> {
    const folder = bed.path(name);
    const socket = join(folder, 'plugin.sock');
    for (const inner of ['mounts', 'state', 'datastore']) await mkdir(join(folder, inner), { recursive: true });
    await using opened = new AsyncDisposableStack();
    const service = form === 'apart' ? await startService(bed, { ...how, folder }, signal) : undefined;
    if (service) opened.use(service.process);
    const command = [join(programs, 'vmdk-plugin'), ...pluginArguments(folder, form)] as const;
    const since = performance.now();
    const answers = async (within: AbortSignal): Promise<void> => {
      using client = await DriverClient.open(socket, within);
      await client.activate();
    };
    const plugin = await MeasuredProcess.start(bed, { ...how, name: 'vmdk-plugin', command, folder }, answers, signal);
    opened.move();
    return new Product({ startMs: performance.now() - since, socket, plugin, service, signal });
  }

  client(): Promise<DriverClient> {
    return DriverClient.open(this.socket, this.#signal);
  }

  /** The plugin's. */
  state(): Promise<ProcessState> {
    return this.plugin.state();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plugin[Symbol.asyncDispose]();
    await this.service?.process[Symbol.asyncDispose]();
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

async function startService(
  bed: TestBed,
  how: Pick<ProcessSetup, 'toolFolder' | 'isProbed' | 'folder'>,
  signal: AbortSignal,
): Promise<Started['service']> {
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
