/**
 * Gives a volume's disk to the VM that asks. A volume has one holder at a time; its holder may ask again and gets the
 * same device. What fails or is given up leaves nothing attached.
 */
import { Fault } from '../../../common/fault.ts';
import type { FullName } from '../../../common/names.ts';
import type { Device, Reply } from '../../../native/channel/contract.ts';
import { fullNameOf, type VolumeRecord, withVolume } from '../../core/volume-record.ts';
import type { Datastore } from '../../ports/datastore.ts';
import type { Command } from '../command.ts';
import { existing, type Guest, inUse, type Service, usable, type UsableRecord, writeLock } from '../service.ts';
import { askHolder, surely } from '../truth.ts';

export const attach: Command<'attach'> = async (service, guest, args, { signal }) => {
  const { full, datastore } = service.datastores.resolve(args.name, guest.defaultDatastore);
  service.authorise(guest.vm, 'attach', full);
  const options = { signal, what: `attach to VM ${guest.vm.name}` };
  return service.locks.hold([writeLock(full)], options, () => attachLocked(service, guest, full, datastore, signal));
};

async function attachLocked(
  service: Service,
  guest: Guest,
  full: FullName,
  datastore: Datastore,
  signal: AbortSignal,
): Promise<Reply<'attach'>> {
  const record = usable(await surely(service, existing(service, full)));
  const { attached } = record.volume;
  if (attached && attached.vm.id !== guest.vm.id) throw inUse(record, 'cannot be attached');
  if (attached) return answer(record, attached.device);
  // A disk that is still to be formatted, or to get its own identity, must be writable for that, once.
  const isReadOnly = record.volume.access === 'read-only' && record.isFormatted && !record.isFreshClone;
  try {
    await datastore.inspect(record);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.code, `volume ${full} cannot be used: ${error.message}`, { cause: error });
  }
  const device = await attachDisk(service, guest, record, isReadOnly, signal);
  const attachedNow = withVolume(record, { attached: { vm: { id: guest.vm.id, name: guest.vm.name }, device } });
  const now = { ...attachedNow, isAttachedReadOnly: isReadOnly };
  service.catalog.publish(now);
  return answer(now, device);
}

async function attachDisk(
  service: Service,
  guest: Guest,
  record: UsableRecord,
  isReadOnly: boolean,
  signal: AbortSignal,
): Promise<Device> {
  const { hypervisor } = service;
  const disk = { uuid: record.uuid, extent: record.extent };
  const [outcome] = await hypervisor.reconfigure(guest.vm, [{ do: 'attach', disk, isReadOnly }], signal);
  if (!outcome || 'fault' in outcome) {
    if (outcome?.fault.class === 'unsure') await askHolder(service, record);
    throw outcome?.fault ?? new Fault('Internal', `the hypervisor said nothing of volume ${fullNameOf(record)}`);
  }
  if (!signal.aborted) return outcome.device;
  // The caller's signal is spent; taking back must not be given up.
  const undoing = new AbortController().signal;
  const [undone] = await hypervisor.reconfigure(guest.vm, [{ do: 'detach', disk, device: outcome.device }], undoing);
  if (undone && 'fault' in undone) await askHolder(service, record);
  throw signal.reason;
}

function answer(record: VolumeRecord, device: Device): Reply<'attach'> {
  const { volume, isAttachedReadOnly: isReadOnly, isFormatted, isFreshClone, root } = record;
  return { volume, device, isReadOnly, isFormatted, isFreshClone, root };
}
