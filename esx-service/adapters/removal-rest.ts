/** The end of a removal that was interrupted, for one name, by the same plan as at start. */
import type { DurableFolder } from '../../common/durable-file.ts';
import type { VolumeName } from '../../common/names.ts';
import { planSweep } from '../core/sweep-plan.ts';
import { extentFile, metadataFile, roleOf, tombstoneFile } from '../core/volume-files.ts';
import { readLeftovers, removeAll } from './folder-reader.ts';

/** @returns a sentence for each thing that was left alone */
export async function finishRemoval(
  folder: DurableFolder,
  name: VolumeName,
  held: ReadonlySet<string>,
): Promise<readonly string[]> {
  const files = [tombstoneFile(name), extentFile(name), metadataFile(name)];
  const left = await readLeftovers(
    folder,
    files.map((file) => ({ file, role: roleOf(file) })),
  );
  // Without its tombstone, nothing says that these files belong to a removed volume.
  if (left.tombstones.length === 0) return [];
  const plan = planSweep(left, held);
  return [...plan.reports, ...(await removeAll(folder, plan.remove))];
}
