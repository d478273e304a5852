/**
 * What a datastore's folder holds, read once at start. Invariants: every descriptor becomes a volume; reading changes
 * nothing; sweeping deletes only what its plan says, and what cannot be deleted is reported, not fatal.
 */
import { readdir, readFile } from 'node:fs/promises';
import type { DurableFolder } from '../../common/durable-file.ts';
import { messageOf } from '../../common/fault.ts';
import { inParallel } from '../../common/in-parallel.ts';
import type { DatastoreName, VolumeName } from '../../common/names.ts';
import { type Leftovers, type LooseFile, type LooseText, planSweep } from '../core/sweep-plan.ts';
import { type FileRole, roleOf, snapshotBase } from '../core/volume-files.ts';
import type { VolumeRecord } from '../core/volume-record.ts';
import type { DatastoreContent } from '../ports/datastore.ts';
import { diskIdOf, readVolume, statusOf } from './volume-reader.ts';

/** Enough to keep a disk busy without holding a thousand files open. */
const parallelReads = 32;

export interface NamedFile {
  readonly file: string;
  readonly role: FileRole;
}

/** The snapshot file of each volume that has one. */
export type Snapshots = ReadonlyMap<VolumeName, string>;

export function snapshotProblem(snapshots: Snapshots, name: VolumeName): string | undefined {
  const snapshot = snapshots.get(name);
  return snapshot === undefined ? undefined : `it has the snapshot file ${snapshot}; merge the snapshot first`;
}

export async function readFolder(datastore: DatastoreName, folder: DurableFolder): Promise<DatastoreContent> {
  const entries = await readdir(folder.path, { withFileTypes: true });
  const files: readonly NamedFile[] = entries
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => ({ file: name, role: roleOf(name) }));
  const snapshots = snapshotFilesIn(files.map(({ file }) => file));
  const names = files.flatMap(({ role }) => (role.role === 'descriptor' ? [role.name] : []));
  const records: VolumeRecord[] = [];
  const claimed = new Set<string>();
  await inParallel(names, parallelReads, async (name) => {
    const read = await readVolume(folder, datastore, name, snapshotProblem(snapshots, name));
    records.push(read.record);
    for (const file of read.files) claimed.add(file);
  });
  return {
    records,
    sweep: async (held) => {
      const left = await readLeftovers(
        folder,
        files.filter(({ file }) => !claimed.has(file)),
      );
      const plan = planSweep(left, held);
      return [...plan.reports, ...(await removeAll(folder, plan.remove))].map((report) => `${folder.path}: ${report}`);
    },
  };
}

/** @param files any names; of thousands, few look as if they were parts */
export function snapshotFilesIn(files: readonly string[]): Snapshots {
  const snapshots = new Map<VolumeName, string>();
  for (const file of files) {
    if (!/-\d{6}/.test(file)) continue;
    const base = snapshotBase(roleOf(file));
    if (base !== undefined) snapshots.set(base, file);
  }
  return snapshots;
}

export async function readLeftovers(folder: DurableFolder, files: readonly NamedFile[]): Promise<Leftovers> {
  const left = {
    asides: [] as LooseFile[],
    tombstones: [] as LooseText[],
    extents: [] as (LooseFile & { name: VolumeName })[],
    metadata: [] as LooseText[],
    strangers: [] as LooseFile[],
  };
  for (const { file, role } of files) {
    const status = await statusOf(folder.pathOf(file));
    if (!status) continue;
    const loose = { file, diskId: diskIdOf(status), allocatedBytes: status.blocks };
    const text = async (): Promise<string> => (status.isFile() ? await readFile(folder.pathOf(file), 'utf8') : '');
    if (role.role === 'aside') left.asides.push(loose);
    else if (role.role === 'tombstone') left.tombstones.push({ ...loose, name: role.name, text: await text() });
    else if (role.role === 'metadata') left.metadata.push({ ...loose, name: role.name, text: await text() });
    else if (role.role === 'extent') left.extents.push({ ...loose, name: role.name });
    else if (file.endsWith('.vmdk')) left.strangers.push(loose);
  }
  return left;
}

export async function removeAll(folder: DurableFolder, files: readonly string[]): Promise<readonly string[]> {
  const reports: string[] = [];
  for (const file of files) {
    try {
      await folder.remove(file);
    } catch (error) {
      reports.push(`${file} is left over and could not be deleted: ${messageOf(error)}`);
    }
  }
  await folder.sync();
  return reports;
}
