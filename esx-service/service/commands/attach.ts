/**
 * Gives a volume's disk to the VM that asks. A volume has one holder at a time; its holder may ask again and gets the
 * same device. What fails or is given up leaves nothing attached. What is published is what the hypervisor said: of an
 * attach whose answer was lost, or whose VM went off meanwhile, it is asked again.
 */
import { deadline } from '../../../common/deadline.ts';
import { Fault, faultOf } from '../../../common/fault.ts';
import { failureFields } from '../../../common/logging.ts';
import type { FullName } from '../../../common/names.ts';
import type { Device, Reply } from '../../../native/channel/contract.ts';
import type { Vm } from '../../core/holders.ts';
import { fullNameOf, type VolumeRecord, withVolume } from '../../core/volume-record.ts';
import type { Datastore } from '../../ports/datastore.ts';
import type { Disk } from '../../ports/hypervisor.ts';
import type { Command } from '../command.ts';
import { outcomeOf } from '../reconfigurations.ts';
import { existing, type Guest, inUse, type Service, usable, type UsableRecord, writeLock } from '../service.ts';
import { askHolder, surely } from '../truth.ts';

const undoTimeoutMs = 60_000;

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
  const record = usable(await surely(service, existing(service, full), signal));
  const { attached } = record.volume;
  if (attached && attached.vm.id !== guest.vm.id) throw inUse(record, 'cannot be attached');
  if (attached) return answer(record, attached.device);
  try {
    await datastore.inspect(record);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.code, `volume ${full} cannot be used: ${error.message}`, { cause: error });
  }
  return await attachDisk(service, guest, record, signal);
}

async function attachDisk(
  service: Service,
  guest: Guest,
  record: UsableRecord,
  signal: AbortSignal,
): Promise<Reply<'attach'>> {
  const { vm } = guest;
  const disk = { uuid: record.volume.uuid, extent: record.extent };
  // A disk that is still to be formatted, or to get its own identity, must be writable for that, once.
  const isReadOnly = record.volume.access === 'read-only' && record.isFormatted && !record.isFreshClone;
  using power = service.power.notes();
  const outcome = await outcomeOf(service.reconfigurations.change(vm, { do: 'attach', disk, isReadOnly }, signal));
  const lost = 'fault' in outcome ? outcome.fault : undefined;
  if (lost && lost.class !== 'unsure') throw lost;
  // From this question to the publishing nothing is waited for, so that no event comes in between.
  const isKnown = 'device' in outcome && !power.takeOff(vm);
  const now = isKnown
    ? attachedTo(vm, record, outcome.device, isReadOnly)
    : await askWhoHolds(service, guest, record, lost);
  const held = now.volume.attached?.vm.id === vm.id ? now.volume.attached : undefined;
  if (signal.aborted) {
    if (held) await takeBack(service, guest, now, disk, held.device);
    throw signal.reason;
  }
  if (!held) throw notAttached(guest, now, lost);
  if (isKnown) service.catalog.publish(now);
  return answer(now, held.device);
}

function attachedTo({ id, name }: Vm, record: VolumeRecord, device: Device, isReadOnly: boolean): VolumeRecord {
  return { ...withVolume(record, { attached: { vm: { id, name }, device } }), isAttachedReadOnly: isReadOnly };
}

async function askWhoHolds(
  service: Service,
  guest: Guest,
  record: VolumeRecord,
  lost: Fault | undefined,
): Promise<VolumeRecord> {
  try {
    return await askHolder(service, record);
  } catch (error) {
    const why = lost ?? faultOf(error);
    throw new Fault(
      'OutcomeUnknown',
      `it is not known whether volume ${fullNameOf(record)} was attached to VM ${guest.vm.name}: ${why.message}; try again later`,
      { cause: error },
    );
  }
}

function notAttached({ vm }: Guest, record: VolumeRecord, lost: Fault | undefined): Fault {
  const sentence = `volume ${fullNameOf(record)} was not attached to VM ${vm.name}`;
  if (lost) return new Fault(lost.code, `${sentence}: ${lost.message}`, { cause: lost });
  return new Fault('Cancelled', `${sentence}: the VM went off meanwhile`);
}

/** The caller's signal is spent; taking back has a time limit of its own, and what it cannot do is asked about. */
async function takeBack(
  service: Service,
  { vm }: Guest,
  record: VolumeRecord,
  disk: Disk,
  device: Device,
): Promise<void> {
  const name = fullNameOf(record);
  try {
    using limit = deadline(undoTimeoutMs, `taking back volume ${name} from VM ${vm.name}`);
    await service.reconfigurations.change(vm, { do: 'detach', disk, device }, limit.signal);
    if (service.catalog.find(name)?.volume.attached) {
      service.catalog.publish(withVolume(record, { attached: undefined }));
    }
  } catch (error) {
    service.logger.warn('an attach that was given up could not be taken back', {
      volume: name,
      vm: vm.name,
      ...failureFields(error),
    });
    // Whatever it says, or does not say, is remembered; the caller does not wait for it any more.
    await askHolder(service, existing(service, name)).catch(() => undefined);
  }
}

function answer(record: VolumeRecord, device: Device): Reply<'attach'> {
  const { volume, isAttachedReadOnly: isReadOnly, isFormatted, isFreshClone, root } = record;
  return { volume, device, isReadOnly, isFormatted, isFreshClone, root };
}
