/**
 * After a VM went off, or may hold other disks than before: each volume that the catalog says it holds is asked about,
 * under that volume's own lock, and freed if it is free; of one that was never heard before, each volume that it may
 * hold. What cannot be asked now is not lost: whoever wants the volume next asks again.
 */
import { faultOf } from '../../common/fault.ts';
import { failureFields } from '../../common/logging.ts';
import type { FullName } from '../../common/names.ts';
import { type Attachment, SilentVms, type Vm } from '../core/holders.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';
import { FreshAnswers } from './fresh-answers.ts';
import { type Service, writeLock } from './service.ts';
import { askHolder, attachmentsOf } from './truth.ts';

export async function lookAfter(service: Service, vm: Vm, signal: AbortSignal): Promise<void> {
  const isNew = service.unheard.has(vm.id);
  const ask = new FreshAnswers(() => attachmentsOf(service.hypervisor, service.askTimeoutMs, signal));
  const isSuspect = (record: VolumeRecord): boolean =>
    isHeldBy(record, vm) || (isNew && service.doubts.has(fullNameOf(record)));
  const work = { service, vm, signal, isSuspect, ask: () => ask.get() };
  const suspects = service.catalog.view.records.filter((record) => isSuspect(record));
  await Promise.all(suspects.map((record) => lookAt(work, fullNameOf(record))));
  if (isNew) await hear(service, vm, work.ask);
}

/** By now its own guest may be told what it holds. */
async function hear(service: Service, vm: Vm, ask: Work['ask']): Promise<void> {
  try {
    await ask();
  } catch (error) {
    if (!(error instanceof SilentVms) || error.vms.some(({ id }) => id === vm.id)) throw error;
  }
  service.unheard.delete(vm.id);
}

interface Work {
  readonly service: Service;
  readonly vm: Vm;
  readonly signal: AbortSignal;
  readonly isSuspect: (record: VolumeRecord) => boolean;
  /** One question for all volumes. */
  readonly ask: () => Promise<readonly Attachment[]>;
}

async function lookAt({ service, vm, signal, isSuspect, ask }: Work, full: FullName): Promise<void> {
  const options = { signal, what: `look whether VM ${vm.name}, which went off, still holds it` };
  try {
    await service.locks.hold([writeLock(full)], options, async () => {
      const record = service.catalog.find(full);
      if (record && isSuspect(record)) await askHolder(service, record, { parent: signal, ask });
    });
  } catch (error) {
    const isLeft = error instanceof SilentVms || faultOf(error).class === 'cancelled';
    const level = isLeft ? 'info' : 'warn';
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
