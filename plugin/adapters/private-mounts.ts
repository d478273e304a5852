/**
 * Mounts that only we use, for as long as some work takes. Invariants: each is below one folder of ours, so that
 * whatever a crash left is known for what it is; when a use has ended, nothing is mounted by it.
 */
import { mkdir, mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../common/fault.ts';
import type { Fstype } from '../../common/volume-options.ts';
import { mount, readMountTable } from '../../native/mounts.ts';
import { refusal } from './mounting.ts';
import { unmountPatiently } from './patient-unmount.ts';

export interface PrivateMount {
  readonly devicePath: string;
  readonly fstype: Fstype;
  /** Options of the file system itself. */
  readonly data?: string;
}

export class PrivateMounts {
  readonly #folder: string;

  /** @param folder ours alone; it is made when it is first needed */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws Fault as for other mounts, or what the work throws */
  async use(request: PrivateMount, work: (target: string) => Promise<unknown>): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const target = await mkdtemp(join(this.#folder, 'm'));
    try {
      await this.#mount(request, target);
      try {
        await work(target);
      } finally {
        await unmountPatiently(target);
      }
    } finally {
      await rmdir(target);
    }
  }

  /** Unmounts what a crash left mounted from this device. */
  async release(devicePath: string): Promise<void> {
    for (const { target, source } of await this.#left()) if (source === devicePath) await unmountPatiently(target);
  }

  /** Unmounts and removes all that a crash left. To be called at start, when nothing of it is in use. */
  async releaseAll(): Promise<void> {
    for (const { target } of await this.#left()) await unmountPatiently(target);
    for (const name of await namesIn(this.#folder)) await rmdir(join(this.#folder, name));
  }

  async #mount({ devicePath, fstype, data = '' }: PrivateMount, target: string): Promise<void> {
    try {
      await mount({ source: devicePath, target, fstype, flags: ['nosuid', 'nodev', 'noexec'], data });
    } catch (error) {
      throw refusal({ devicePath, target, fstype, isReadOnly: false, options: [] }, error);
    }
  }

  /** Newest first, since mounts may lie on top of each other. */
  async #left(): Promise<readonly { readonly target: string; readonly source: string }[]> {
    const table = await readMountTable();
    return table.filter(({ target }) => target.startsWith(`${this.#folder}/`)).toReversed();
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
