/**
 * After a VM went off: each volume that the catalog says it holds is asked about, under that volume's own lock, and freed
 * if it is free. What cannot be asked now is not lost: whoever wants the volume next asks again.
 */
import { faultOf } from '../../common/fault.ts';
import { failureFields } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import type { Vm } from '../core/holders.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';
import { type Service, writeLock } from './service.ts';
import { askHolder } from './truth.ts';

export async function lookAfter(service: Service, vm: Vm, signal: AbortSignal): Promise<void> {
  const held = service.catalog.view.records.filter((record) => isHeldBy(record, vm));
  await Promise.all(held.map((record) => lookAt(service, vm, fullNameOf(record), signal)));
}

async function lookAt(service: Service, vm: Vm, full: FullName, signal: AbortSignal): Promise<void> {
  const options = { signal, what: `look whether VM ${vm.name}, which went off, still holds it` };
  try {
    await service.locks.hold([writeLock(full)], options, async () => {
      const record = service.catalog.find(full);
      if (record && isHeldBy(record, vm)) await askHolder(service, record, { parent: signal });
    });
  } catch (error) {
    const level = faultOf(error).class === 'cancelled' ? 'info' : 'warn';
    service.logger[level]('a volume of a VM that went off was not looked at', {
      volume: full,
      vm: vm.name,
      ...failureFields(error),
    });
  }
}

function isHeldBy({ volume }: VolumeRecord, vm: Vm): boolean {
  return volume.attached?.vm.id === vm.id;
}
