/**
 * The catalog at start. Order matters: who holds what is asked before anything is swept, so that a disk in use is never
 * taken for litter, and read again by nobody: from here on every change goes through the service.
 */
import type { Logger } from '../../common/logging.ts';
import { markShared, withHolder } from '../core/holders.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import { Catalog } from './catalog.ts';
import type { Datastores } from './datastores.ts';
import { attachmentsOf } from './truth.ts';

export interface ReadCatalog {
  readonly catalog: Catalog;
  /** A sentence for each thing that was left alone and somebody should look at. */
  readonly leftovers: readonly string[];
}

export async function readCatalog(
  datastores: Datastores,
  hypervisor: Hypervisor,
  logger: Logger,
  askTimeoutMs: number,
): Promise<ReadCatalog> {
  const contents = await Promise.all(datastores.all.map((datastore) => datastore.read()));
  const attachments = await attachmentsOf(hypervisor, askTimeoutMs);
  const held = new Set(attachments.map(({ diskId }) => diskId));
  const leftovers: string[] = [];
  for (const content of contents) leftovers.push(...(await content.sweep(held)));
  for (const leftover of leftovers) logger.warn('found in a datastore', { leftover });
  const byDisk = Map.groupBy(attachments, ({ diskId }) => diskId);
  const records = markShared(contents.flatMap((content) => content.records)).map((record): VolumeRecord => {
    return withHolder(record, byDisk.get(record.extent?.diskId ?? '') ?? []);
  });
  for (const record of records) {
    if (record.volume.problem === undefined) continue;
    logger.warn('volume cannot be used', { volume: fullNameOf(record), problem: record.volume.problem });
  }
  return { catalog: new Catalog(records, logger), leftovers };
}
