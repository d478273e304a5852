/**
 * Who uses a volume, whatever the references say: processes whose mount table shows its device, and running containers
 * that list it. Invariant: "unused" is said only when somebody who would see a user was asked.
 */
import { type FullName } from '../../common/names.ts';
import type { Containers } from '../ports/containers.ts';
import type { Holders, ProcessTime } from '../ports/holders.ts';
import type { HeldDisk } from './disk-mounter.ts';
import type { VolumeView } from './volume-view.ts';

export interface UsageParts {
  readonly holders: Holders;
  readonly containers: Containers;
  readonly view: VolumeView;
}

export class Usage {
  readonly #parts: UsageParts;
  #dockerStart: ProcessTime | undefined;

  constructor(parts: UsageParts) {
    this.#parts = parts;
  }

  /** When dockerd was started: no container of its own making was started before. */
  noteDockerStart(at: ProcessTime = this.#parts.holders.now()): void {
    this.#dockerStart = at;
  }

  /**
   * As `isMounted`, by what may have lived since before dockerd's last start: a container that was started after it
   * stands for a reference of its own.
   */
  isMountedSinceEarlier({ devicePath, path }: HeldDisk): Promise<boolean> {
    return this.#parts.holders.isMountedElsewhere(devicePath, path, this.#dockerStart);
  }

  /** By the mount tables alone: for a volume whose container has just ended, which Docker may still list. */
  isMounted({ devicePath, path }: HeldDisk): Promise<boolean> {
    return this.#parts.holders.isMountedElsewhere(devicePath, path);
  }

  /** As `isMounted`; undefined where a mount could not be seen. */
  async isMountedIfKnown(disk: HeldDisk): Promise<boolean | undefined> {
    return (await this.isMounted(disk)) || (this.#parts.holders.seesOthers ? false : undefined);
  }

  /** By all that can be asked. */
  async isUsed(disk: HeldDisk): Promise<boolean> {
    if (await this.isMounted(disk)) return true;
    const listed = await this.#parts.containers.volumesInUse();
    if (listed) return listed.some((asked) => this.#resolved(asked) === disk.name);
    return !this.#parts.holders.seesOthers;
  }

  #resolved(asked: string): FullName | undefined {
    try {
      return this.#parts.view.resolve(asked);
    } catch {
      // Docker knows it by a name that this driver would refuse: none of ours.
      return undefined;
    }
  }
}
