/** Disks as volumes bring them, on the real kernel: files behind loop devices, through the adapter under test. */
import { readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { deadline } from '../../../common/deadline.ts';
import { type Fstype, fstypes, type MountOption } from '../../../common/volume-options.ts';
import { copyDataExtents } from '../../../native/file-extents.ts';
import type { MountEntry } from '../../../native/mountinfo.ts';
import { readMountTable } from '../../../native/mounts.ts';
import { unmountPatiently } from '../../../plugin/adapters/patient-unmount.ts';
import { KernelFileSystems } from '../../../plugin/adapters/file-systems.ts';
import { type Scratch, scratch } from '../../native/support/scratch.ts';

export const allTypes: readonly Fstype[] = fstypes;
const mib = 1024 * 1024;
/** A little more than mkfs of each type asks for. */
export const sizeBytes: Readonly<Record<Fstype, number>> = {
  ext4: 32 * mib,
  ext3: 32 * mib,
  ext2: 32 * mib,
  xfs: 300 * mib,
  btrfs: 128 * mib,
};
const limitMs = 60_000;

export interface Bench {
  readonly scratch: Scratch;
  readonly fileSystems: KernelFileSystems;
  readonly scratchFolder: string;
  readonly signal: AbortSignal;
  /** A disk on a new file. */
  readonly disk: (name: string, bytes: number) => Promise<string>;
  /** A disk on a file that is there. */
  readonly attached: (name: string, isReadOnly?: boolean) => Promise<string>;
  /** Mounts through the adapter at a folder of that name; unmounted when the test ends. */
  readonly mounted: (devicePath: string, name: string, fstype: Fstype, request?: Partial<Asked>) => Promise<string>;
  /** A copy of the file as it is now, which is what a clone of a volume in use gets. */
  readonly copied: (from: string, to: string, bytes?: number) => Promise<void>;
}

interface Asked {
  readonly isReadOnly: boolean;
  readonly options: readonly MountOption[];
}

export async function bench(t: ExecutionContext, searchPath?: string): Promise<Bench> {
  const place = await scratch(t);
  const scratchFolder = place.path('private');
  const fileSystems = new KernelFileSystems({ scratchFolder, ...(searchPath !== undefined && { searchPath }) });
  const limit = deadline(limitMs, 'the test');
  t.teardown(() => limit[Symbol.dispose]());
  return {
    scratch: place,
    fileSystems,
    scratchFolder,
    signal: limit.signal,
    async disk(name, bytes) {
      return (await place.attach({ backingPath: await place.sparseFile(name, bytes) })).path;
    },
    async attached(name, isReadOnly = false) {
      return (await place.attach({ backingPath: place.path(name), isReadOnly })).path;
    },
    async mounted(devicePath, name, fstype, request) {
      const target = await place.directory(name);
      await fileSystems.mount({ devicePath, target, fstype, isReadOnly: false, options: [], ...request });
      t.teardown(() => unmountPatiently(target));
      return target;
    },
    async copied(from, to, bytes) {
      await copyDataExtents(place.path(from), place.path(to), {}, limit.signal);
      if (bytes !== undefined) await truncate(place.path(to), bytes);
    },
  };
}

export async function entryAt(target: string): Promise<MountEntry | undefined> {
  return (await readMountTable()).find((entry) => entry.target === target);
}

export function textIn(folder: string, name: string): Promise<string> {
  return readFile(join(folder, name), 'utf8');
}
