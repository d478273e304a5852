/**
 * What a crash left in a datastore's folder, and what may be deleted of it. Invariant: a file is deleted only if it is
 * ours by its name, and either nobody can have used it or its volume was removed; whatever could hold data, or is
 * attached, stays and is reported. Pure: no I/O.
 */
import { messageOf } from '../../common/fault.ts';
import type { VolumeName } from '../../common/names.ts';
import { parseDescriptor } from './descriptor.ts';
import { type Metadata, parseMetadata } from './metadata.ts';
import { extentFile, metadataFile } from './volume-files.ts';

export interface LooseFile {
  readonly file: string;
  readonly diskId: string;
  readonly allocatedBytes: number;
}

export interface LooseText extends LooseFile {
  readonly name: VolumeName;
  readonly text: string;
}

/** The files that belong to no volume with a descriptor. */
export interface Leftovers {
  readonly asides: readonly LooseFile[];
  readonly tombstones: readonly LooseText[];
  readonly extents: readonly (LooseFile & { readonly name: VolumeName })[];
  readonly metadata: readonly LooseText[];
  /** VMDK files that mean nothing to us. */
  readonly strangers: readonly LooseFile[];
}

export interface SweepPlan {
  /** In this order: what names another file goes after it. */
  readonly remove: readonly string[];
  readonly reports: readonly string[];
}

/** A plan as it comes to be. */
interface Draft {
  readonly remove: Set<string>;
  readonly reports: string[];
  /** Extents of which all is said. */
  readonly told: Set<string>;
}

/** @param held the disks that are attached */
export function planSweep(left: Leftovers, held: ReadonlySet<string>): SweepPlan {
  const draft: Draft = { remove: new Set(), reports: [], told: new Set() };
  const { remove, reports, told } = draft;
  for (const tombstone of left.tombstones) finishRemoval(tombstone, left, held, draft);
  const asideIds = new Set(left.asides.map(({ diskId }) => diskId));
  for (const extent of left.extents) {
    if (remove.has(extent.file) || told.has(extent.file)) continue;
    if (isUnused(extent, left, asideIds) && !held.has(extent.diskId)) remove.add(extent.file);
    else reports.push(`${extent.file} has no descriptor and may hold data: give it one, or delete it`);
  }
  const kept = new Set(left.extents.filter(({ file }) => !remove.has(file)).map(({ name }) => name));
  for (const file of left.metadata) {
    if (remove.has(file.file)) continue;
    if (kept.has(file.name)) continue;
    if (asideIds.has(file.diskId) || metadataOf(file)?.isFormatted === false) remove.add(file.file);
    else reports.push(`${file.file} tells of a disk that is not there: bring the disk back, or delete the file`);
  }
  for (const aside of left.asides) remove.add(aside.file);
  for (const { file } of left.strangers) reports.push(`${file} is not a volume that can be used, and was left alone`);
  return { remove: [...remove], reports };
}

/**
 * A removed volume whose files were not all deleted. If there is a new volume of its name, the files are that one's and
 * not among the leftovers: then only the tombstone goes.
 */
function finishRemoval(tombstone: LooseText, left: Leftovers, held: ReadonlySet<string>, draft: Draft): void {
  const { remove, reports, told } = draft;
  try {
    const named = parseDescriptor(Buffer.from(tombstone.text)).extentFile;
    const extent = left.extents.find(({ file }) => file === named);
    if (extent && held.has(extent.diskId)) {
      told.add(extent.file);
      reports.push(
        `${extent.file} belongs to a removed volume and is still attached: detach it, and restart the service`,
      );
      return;
    }
    // Only a file by the name that we give is surely this volume's; another name may serve somebody else.
    if (extent && named === extentFile(tombstone.name)) remove.add(named);
    const metadata = left.metadata.find(({ file }) => file === metadataFile(tombstone.name));
    if (metadata) remove.add(metadata.file);
    remove.add(tombstone.file);
  } catch (error) {
    reports.push(`${tombstone.file} says that a volume was removed, but ${messageOf(error)}: delete its files by hand`);
  }
}

/** A create that never came to its end: its name aside is still there, or nothing was ever written to the disk. */
function isUnused(extent: Leftovers['extents'][number], left: Leftovers, asideIds: ReadonlySet<string>): boolean {
  if (asideIds.has(extent.diskId)) return true;
  const file = left.metadata.find(({ name }) => name === extent.name);
  return extent.allocatedBytes === 0 && file !== undefined && metadataOf(file)?.isFormatted === false;
}

function metadataOf(file: LooseText): Metadata | undefined {
  try {
    return parseMetadata(file.text, file.file);
  } catch {
    return undefined;
  }
}
