/**
 * Takes a volume's disk back from the VM that asks. What the guest tells of the disk is durable before the disk is let
 * go, so that nobody who gets it next knows less; what the guest still uses stays attached. Whether a disk is let go is
 * the hypervisor's word: of a detach whose answer was lost, it is asked again.
 */
import { Fault, faultOf } from '../../../common/fault.ts';
import { failureFields } from '../../../common/logging.ts';
import type { FullName } from '../../../common/names.ts';
import type { Args, Reply } from '../../../native/channel/contract.ts';
import { fullNameOf, type VolumeRecord, withProblem, withVolume } from '../../core/volume-record.ts';
import type { Datastore } from '../../ports/datastore.ts';
import type { Command } from '../command.ts';
import { outcomeOf } from '../reconfigurations.ts';
import { type Guest, type Service, usable, type UsableRecord, writeLock } from '../service.ts';
import { askHolder, undoubted } from '../truth.ts';

export const detach: Command<'detach'> = async (service, guest, args, { signal }) => {
  const { full, datastore } = service.datastores.resolve(args.name, guest.defaultDatastore);
  service.authorise(guest.vm, 'detach', full);
  const options = { signal, what: `detach from VM ${guest.vm.name}` };
  return service.locks.hold([writeLock(full)], options, () =>
    detachLocked(service, guest, { ...args, name: full }, datastore, signal),
  );
};

async function detachLocked(
  service: Service,
  guest: Guest,
  args: Args<'detach'> & { readonly name: FullName },
  datastore: Datastore,
  signal: AbortSignal,
): Promise<Reply<'detach'>> {
  const full = args.name;
  const remembered = service.catalog.find(full);
  const known = remembered && (await undoubted(service, remembered, signal));
  const { attached } = known?.volume ?? {};
  if (!known || attached?.vm.id !== guest.vm.id) return {};
  const record =
    known.volume.problem === undefined ? await report(service, datastore, usable(known), args) : damaged(known);
  const disk = { uuid: record.volume.uuid, extent: record.extent };
  const change = { do: 'detach', disk, device: attached.device } as const;
  const [outcome, seen] = await Promise.all([
    outcomeOf(service.reconfigurations.change(guest.vm, change, signal)),
    lookAt(datastore, record),
  ]);
  if ('fault' in outcome && !(await isFree(service, record, outcome.fault))) {
    throw new Fault(outcome.fault.code, `volume ${full} cannot be detached: ${outcome.fault.message}`, {
      cause: outcome.fault,
    });
  }
  service.catalog.publish(withVolume(seen, { attached: undefined }));
  return {};
}

/** Whether the disk is let go although its detach failed: the hypervisor decides, and what it says is published. */
async function isFree(service: Service, record: UsableRecord, fault: Fault): Promise<boolean> {
  const isSurelyHeld = fault.code === 'VolumeInUse' || fault.class === 'busy' || fault.class === 'cancelled';
  if (isSurelyHeld) return false;
  try {
    const { volume } = await askHolder(service, record);
    return !volume.attached && volume.problem === record.volume.problem;
  } catch (error) {
    service.logger.warn('it is not known whether a volume was detached', {
      volume: fullNameOf(record),
      ...failureFields(error),
    });
    return false;
  }
}

/** A damaged volume is let go as it is: nothing of what the guest tells can be relied on. */
function damaged(record: VolumeRecord): UsableRecord {
  const { extent } = record;
  if (extent) return { ...record, extent };
  throw new Fault(
    'DamagedVolume',
    `volume ${fullNameOf(record)} cannot be detached: ${record.volume.problem ?? 'it has no extent'}`,
  );
}

/** Writes down what is new in the guest's report, if anything is. */
async function report(
  service: Service,
  datastore: Datastore,
  record: UsableRecord,
  told: Args<'detach'>,
): Promise<UsableRecord> {
  const isFormatted = record.isFormatted || told.isFormatted;
  const isFreshClone = record.isFreshClone && !told.isClonePrepared;
  const fstype = told.fstype ?? record.volume.fstype;
  const isNews =
    isFormatted !== record.isFormatted || isFreshClone !== record.isFreshClone || fstype !== record.volume.fstype;
  if (!isNews) return record;
  const now = { ...record, isFormatted, isFreshClone, hasMetadata: true, volume: { ...record.volume, fstype } };
  await datastore.saveMetadata(now);
  service.catalog.publish(now);
  return now;
}

async function lookAt(datastore: Datastore, record: UsableRecord): Promise<VolumeRecord> {
  try {
    const { allocatedBytes } = await datastore.inspect(record);
    return withVolume(record, { allocatedBytes });
  } catch (error) {
    return withProblem(record, 'files', faultOf(error).message);
  }
}
