/**
 * The catalog at start. Order matters: who holds what is asked before anything is swept, so that a disk in use is never
 * taken for litter, and read again by nobody: from here on every change goes through the service. A VM that does not
 * answer keeps no other from its volumes: what it may hold is in doubt until it does, and nothing is swept.
 */
import { failureFields, type Logger } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import { type Attachment, markShared, SilentVms, withHolder } from '../core/holders.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import { Catalog } from './catalog.ts';
import type { Datastores } from './datastores.ts';
import { attachmentsOf } from './truth.ts';

export interface ReadCatalog {
  readonly catalog: Catalog;
  /** A sentence for each thing that was left alone and somebody should look at. */
  readonly leftovers: readonly string[];
  /** As in `Service`. */
  readonly doubts: Set<FullName>;
  readonly unheard: Map<string, string>;
}

export async function readCatalog(
  datastores: Datastores,
  hypervisor: Hypervisor,
  logger: Logger,
  askTimeoutMs: number,
): Promise<ReadCatalog> {
  const contents = await Promise.all(datastores.all.map((datastore) => datastore.read()));
  const { attachments, silence } = await told(hypervisor, askTimeoutMs);
  const held = new Set(attachments.map(({ diskId }) => diskId));
  const leftovers: string[] = [];
  if (silence) leftovers.push(`what a crash left was not looked for: ${silence.message}; restart the service then`);
  else for (const content of contents) leftovers.push(...(await content.sweep(held)));
  for (const leftover of leftovers) logger.warn('found in a datastore', { leftover });
  const byDisk = Map.groupBy(attachments, ({ diskId }) => diskId);
  const records = markShared(contents.flatMap((content) => content.records)).map((record): VolumeRecord => {
    return withHolder(record, byDisk.get(record.extent?.diskId ?? '') ?? []);
  });
  for (const record of records) {
    if (record.volume.problem === undefined) continue;
    logger.warn('volume cannot be used', { volume: fullNameOf(record), problem: record.volume.problem });
  }
  const doubtful = silence ? records.filter(({ extent }) => !held.has(extent?.diskId ?? '')) : [];
  const doubts = new Set(doubtful.map((record) => fullNameOf(record)));
  const unheard = new Map(silence?.vms.map(({ id }) => [id, silence.message]));
  for (const { name } of silence?.vms ?? []) {
    logger.warn('a VM does not say what it holds; what it may hold is refused to all', {
      vm: name,
      ...failureFields(silence),
    });
  }
  return { catalog: new Catalog(records, logger), leftovers, doubts, unheard };
}

async function told(
  hypervisor: Hypervisor,
  askTimeoutMs: number,
): Promise<{ readonly attachments: readonly Attachment[]; readonly silence?: SilentVms }> {
  try {
    return { attachments: await attachmentsOf(hypervisor, askTimeoutMs) };
  } catch (error) {
    if (error instanceof SilentVms) return { attachments: error.others, silence: error };
    throw error;
  }
}
