/**
 * What the plugin does at this moment, in one sentence for whoever looks at its status. Invariant: each change of what it
 * says is told, once; while the service cannot be reached, the sentence says where it was looked for, and why in vain.
 */
import type { Fault } from '../../common/fault.ts';

export interface StatusNewsOptions {
  /** The service's. */
  readonly address: string;
  readonly tell: (sentence: string) => void;
}

export class StatusNews {
  readonly #options: StatusNewsOptions;
  #link: 'new' | 'connected' | Fault = 'new';
  #socket: string | undefined;

  constructor(options: StatusNewsOptions) {
    this.#options = options;
  }

  waiting(): void {
    this.#tell();
  }

  connected(): void {
    this.#link = 'connected';
    this.#tell();
  }

  unreachable(fault: Fault): void {
    this.#link = fault;
    this.#tell();
  }

  serving(socket: string): void {
    this.#socket = socket;
    this.#tell();
  }

  #tell(): void {
    this.#options.tell(this.#socket === undefined ? this.#before() : this.#serving(this.#socket));
  }

  #before(): string {
    const { address } = this.#options;
    switch (this.#link) {
      case 'new':
        return `waiting for the service at ${address}`;
      case 'connected':
        return `reading the volumes of the service at ${address}`;
      default:
        return `waiting for the service at ${address}: ${this.#link.message}`;
    }
  }

  #serving(socket: string): string {
    const { address } = this.#options;
    const docker = `serving Docker at ${socket}`;
    if (typeof this.#link === 'string') return `${docker}, with the service at ${address}`;
    return `${docker} with what is known; the service at ${address} is out of reach: ${this.#link.message}`;
  }
}
