/**
 * Work that is in progress while readers ask: clones of a large volume, and mounts that either go on and on or wait.
 * Invariant: when a load was disposed, all that it asked for has ended, and its clones are gone or were never made.
 */
import { pause } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import { type Clients, connect } from './bench.ts';
import type { DriverClient } from './driver-client.ts';
import type { MkfsGate } from './mkfs-gate.ts';
import type { Product } from './product.ts';

export interface LoadRequest {
  readonly product: Product;
  readonly source: string;
  readonly clones: number;
  /** Each is mounted and unmounted by its own client without a pause. */
  readonly cycled: readonly string[];
  /** Each is mounted once, and that mount waits at the gate. Never formatted yet. */
  readonly waiting: readonly string[];
  readonly gate: MkfsGate;
  readonly signal: AbortSignal;
}

let loads = 0;

export class Load implements AsyncDisposable {
  readonly #request: LoadRequest;
  readonly #number = loads++;
  readonly #work: Promise<void>[] = [];
  readonly #failures: string[] = [];
  readonly #clients: Clients[] = [];
  readonly #cloners: Clients;
  #isOver = false;
  #cycles = 0;
  #clonesEnded = 0;

  private constructor(request: LoadRequest, cloners: Clients) {
    this.#request = request;
    this.#cloners = cloners;
  }

  /** Resolves when all of it is in progress. */
  static async start(request: LoadRequest): Promise<Load> {
    const { product, clones, cycled, waiting, gate } = request;
    const load = new Load(request, await connect(product, clones));
    try {
      // Before the clones, beside which it could take a minute until all of them have come to the gate.
      if (waiting.length > 0) {
        gate.close();
        await load.#each(waiting, mountOnce);
        while (gate.waiting() < waiting.length) await load.#pause();
      }
      await load.#each(cycled, (client, name) => load.#cycle(client, name));
      // A first mount formats, once: that is not what is to go on.
      while (load.#cycles < cycled.length) await load.#pause();
      load.#cloners.all.forEach((client, place) => load.#do(load.#clone(client, place)));
      using watching = await product.client();
      while (((await watching.inFlight()).get('Create') ?? 0) < clones) await load.#pause();
      return load;
    } catch (error) {
      await load[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Mounts that were made and unmounted, and clones that ended, since the start. */
  get done(): { readonly cycles: number; readonly clones: number } {
    return { cycles: this.#cycles, clones: this.#clonesEnded };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { product, gate } = this.#request;
    this.#isOver = true;
    gate.open();
    // Whoever hangs up does not want the clone any more.
    this.#cloners[Symbol.dispose]();
    await Promise.all(this.#work);
    if (this.#failures.length > 0) {
      console.error(`${String(this.#failures.length)} parts of the load failed; the first: ${this.#failures[0] ?? ''}`);
    }
    for (const clients of this.#clients) clients[Symbol.dispose]();
    // A remove waits for the create of the same name, and succeeds when that made nothing.
    using client = await product.client();
    for (let place = 0; place < this.#request.clones; place++) await client.remove(this.#cloneName(place));
  }

  #cloneName(place: number): string {
    return `clone-${String(this.#number)}-${String(place)}`;
  }

  /** A client for each of the volumes. */
  async #each(names: readonly string[], use: (client: DriverClient, name: string) => Promise<void>): Promise<void> {
    const clients = await connect(this.#request.product, names.length);
    this.#clients.push(clients);
    clients.all.forEach((client, place) => this.#do(use(client, names[place] ?? '')));
  }

  #do(work: Promise<void>): void {
    this.#work.push(work.catch((error: unknown) => void this.#failures.push(messageOf(error))));
  }

  /** A load that has failed in part is not the load that was asked for. */
  async #pause(): Promise<void> {
    if (this.#failures.length > 0) throw new Error(`the load failed: ${this.#failures[0] ?? ''}`);
    await pause(20, this.#request.signal);
  }

  /** Half of them copy what is data, half write all out. */
  async #clone(client: DriverClient, place: number): Promise<void> {
    const diskformat = place % 2 === 0 ? 'thin' : 'eagerzeroedthick';
    const options = { 'clone-from': this.#request.source, diskformat };
    try {
      while (!this.#isOver) {
        await client.create(this.#cloneName(place), options);
        this.#clonesEnded++;
        await client.remove(this.#cloneName(place));
      }
    } catch (error) {
      if (!this.#isOver) throw error;
    }
  }

  async #cycle(client: DriverClient, name: string): Promise<void> {
    while (!this.#isOver) {
      await client.mount(name, 'cycle');
      await client.unmount(name, 'cycle');
      this.#cycles++;
    }
  }
}

async function mountOnce(client: DriverClient, name: string): Promise<void> {
  await client.mount(name, 'waiting');
  await client.unmount(name, 'waiting');
}
