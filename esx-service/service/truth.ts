/** What the hypervisor says of a volume, when what we remember may not hold. */
import { withHolder } from '../core/holders.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';
import type { Service } from './service.ts';

/**
 * The record, after a look at the hypervisor if it says that somebody holds the disk. To refuse is rare, so it can
 * afford to ask whether that still holds.
 */
export async function surely(service: Service, record: VolumeRecord): Promise<VolumeRecord> {
  return record.volume.attached ? await askHolder(service, record) : record;
}

/** Asks who holds the volume, and publishes it if it is news. To be called with the volume locked. */
export async function askHolder(service: Service, record: VolumeRecord): Promise<VolumeRecord> {
  const seen = withHolder(record, await service.hypervisor.attachments());
  const [before, now] = [record.volume.attached, seen.volume.attached];
  const isSame = before?.vm.id === now?.vm.id && JSON.stringify(before?.device) === JSON.stringify(now?.device);
  if (isSame && seen.volume.problem === record.volume.problem) return record;
  service.logger.warn('a disk was attached or detached behind our back', {
    volume: fullNameOf(record),
    was: before?.vm.name ?? 'detached',
    is: now?.vm.name ?? seen.volume.problem ?? 'detached',
  });
  service.catalog.publish(seen);
  return seen;
}
