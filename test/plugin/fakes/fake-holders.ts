/** Containers of a fake guest, each holding a device in a namespace of its own, and when each was started. */
import type { Holders, ProcessTime } from '../../../plugin/ports/holders.ts';

export class FakeHolders implements Holders {
  readonly seesOthers = true;
  readonly #since = new Map<string, ProcessTime>();
  #time: ProcessTime = 0;

  /** A container starts on the device; the first one's time counts. */
  add(devicePath: string): void {
    this.#time += 1;
    if (!this.has(devicePath)) this.#since.set(devicePath, this.#time);
  }

  has(devicePath: string): boolean {
    return this.#since.has(devicePath);
  }

  /** All of them end. */
  clear(): void {
    this.#since.clear();
  }

  now(): ProcessTime {
    return this.#time;
  }

  isMountedElsewhere(devicePath: string, _path: string | undefined, before: ProcessTime = Infinity): Promise<boolean> {
    const since = this.#since.get(devicePath);
    return Promise.resolve(since !== undefined && since <= before);
  }
}
