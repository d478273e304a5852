/**
 * The product over a real guest: the service here, the plugin in there, asked as Docker asks it. Invariant: when it is
 * disposed, neither runs, and no disk of it is plugged in.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from '../../docker/harness/daemon.ts';
import type { Guest } from '../../guest/guest.ts';
import type { GuestProgram } from '../../guest/guest-program.ts';
import { askPlugin, runPlugin, servicePort } from '../../guest/plugin-guest.ts';
import type { ControllerName } from './figures.ts';

const program = join(import.meta.dirname, '../../../bin/vmdkopsd');
const callSign = '"message":"the hypervisor has answered"';

export class ProductInGuest implements AsyncDisposable {
  readonly #guest: Guest;
  readonly #service: Daemon;
  readonly #plugin: GuestProgram;

  private constructor(guest: Guest, service: Daemon, plugin: GuestProgram) {
    this.#guest = guest;
    this.#service = service;
    this.#plugin = plugin;
  }

  /** @param folder of its datastore, which may hold volumes already */
  static async start(guest: Guest, folder: string, controller: ControllerName): Promise<ProductInGuest> {
    const at = (name: string): string => join(folder, name);
    await mkdir(at('datastore'), { recursive: true });
    const config = {
      ...{ hypervisor: 'qemu', controller, datastores: { local: at('datastore') }, adminSocket: at('admin.sock') },
      vms: [{ name: 'guest', qmp: guest.qmpSocket, socket: guest.vsock.socketOf(servicePort) }],
      logLevel: 'debug',
    };
    await writeFile(at('service.json'), JSON.stringify(config));
    await using opened = new AsyncDisposableStack();
    const command = [program, '--config', at('service.json')] as const;
    const setup = { name: 'vmdkopsd', command, env: process.env, logFile: at('service.log') };
    const service = opened.use(await Daemon.start(setup));
    try {
      const plugin = opened.use(await runPlugin(guest));
      opened.move();
      return new ProductInGuest(guest, service, plugin);
    } catch (error) {
      throw new Error(`the plugin did not start; the service has said:\n${await service.logTail()}`, { cause: error });
    }
  }

  /** @returns how long it took, in milliseconds */
  async ask(verb: string, body: Readonly<Record<string, unknown>> = {}): Promise<number> {
    const began = performance.now();
    const { Err } = await askPlugin(this.#guest, verb, body);
    if (Err) throw new Error(`${verb}: ${Err}`);
    return performance.now() - began;
  }

  /** All at once. @returns how long that took */
  async askForAll(verb: string, names: readonly string[]): Promise<number> {
    const began = performance.now();
    await Promise.all(names.map((name) => this.ask(verb, { Name: name, ID: 'bench' })));
    return performance.now() - began;
  }

  /** Made to the hypervisor so far, since the folder was new. */
  async calls(): Promise<number> {
    return (await readFile(this.#service.logFile, 'utf8')).split(callSign).length - 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#plugin[Symbol.asyncDispose]();
    await this.#service[Symbol.asyncDispose]();
  }
}
