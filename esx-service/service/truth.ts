/**
 * What the hypervisor says of a volume, when what we remember may not hold. Invariants: nothing is published that the
 * hypervisor did not say; a volume of which it said nothing when it was asked is *in doubt*, and whoever wants it next
 * asks before believing the catalog. Readers of the catalog never ask. To be called with the volume locked.
 */
import { isDeepStrictEqual } from 'node:util';
import { abortable, deadline } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import { type Attachment, SilentVms, withHolder } from '../core/holders.ts';
import { fullNameOf, type VolumeRecord } from '../core/volume-record.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { LateChange } from './reconfigurations.ts';
import type { Service } from './service.ts';

/**
 * The record, after a look at the hypervisor if it says that somebody holds the disk, or is in doubt. To refuse is
 * rare, so it can afford to ask whether that still holds.
 * @throws Fault HostUnavailable when it cannot be known who holds it; Busy while a change that was given up may still
 * change that
 */
export async function surely(service: Service, record: VolumeRecord, signal: AbortSignal): Promise<VolumeRecord> {
  return record.volume.attached ? await asked(service, record, signal) : await undoubted(service, record, signal);
}

/** The record, after a look at the hypervisor if it is in doubt. Throws as `surely` does. */
export async function undoubted(service: Service, record: VolumeRecord, signal: AbortSignal): Promise<VolumeRecord> {
  return service.doubts.has(fullNameOf(record)) ? await asked(service, record, signal) : record;
}

async function asked(service: Service, record: VolumeRecord, signal: AbortSignal): Promise<VolumeRecord> {
  const name = fullNameOf(record);
  let seen: VolumeRecord;
  try {
    seen = await askHolder(service, record, { parent: signal });
  } catch (error) {
    const fault = faultOf(error);
    // Nothing was begun, so the caller need not ask what became of it.
    if (fault.class !== 'unsure' && !(fault instanceof SilentVms)) throw fault;
    const sentence = `it cannot be known who holds volume ${name}: ${fault.message}; try again later`;
    throw new Fault('HostUnavailable', sentence, { cause: fault });
  }
  const late = unsettled(service, seen);
  if (!late) return seen;
  throw new Fault(
    'Busy',
    `volume ${name} is busy: its ${late.do} for VM ${late.vm.name} was given up, and the hypervisor may still be at it; try again later`,
  );
}

export interface Question {
  /** Ends it, beside its own time limit. */
  readonly parent?: AbortSignal;
  /** What the record becomes by the answer. */
  readonly see?: (attachments: readonly Attachment[]) => VolumeRecord;
  /** An answer that was asked for after this call. */
  readonly ask?: () => Promise<readonly Attachment[]>;
}

/**
 * Asks who holds the volume, and publishes it if it is news. If it cannot be known, the volume is left in doubt.
 */
export async function askHolder(
  service: Service,
  record: VolumeRecord,
  question: Question = {},
): Promise<VolumeRecord> {
  const name = fullNameOf(record);
  const { parent, see = (attachments) => withHolder(record, attachments) } = question;
  const { ask = () => attachmentsOf(service.hypervisor, service.askTimeoutMs, parent) } = question;
  using power = service.power.notes();
  let seen: VolumeRecord;
  try {
    // An answer may have been on its way when the holder went off.
    do seen = see(await toldOf(record, ask));
    while (seen.volume.attached && power.takeOff(seen.volume.attached.vm));
  } catch (error) {
    service.doubts.add(name);
    throw error;
  }
  if (unsettled(service, seen)) service.doubts.add(name);
  else service.doubts.delete(name);
  const known = service.catalog.find(name);
  if (isDeepStrictEqual(seen, known)) return record;
  if (known && holderOf(seen) !== holderOf(known)) {
    service.logger.warn('a disk is not held as it was remembered', {
      volume: name,
      was: known.volume.attached?.vm.name ?? 'detached',
      is: seen.volume.attached?.vm.name ?? seen.volume.problem ?? 'detached',
    });
  }
  service.catalog.publish(seen);
  return seen;
}

/** What is attached, as far as it must be known for this volume: QEMU lets only one VM open a disk for writing. */
async function toldOf(
  { extent }: VolumeRecord,
  ask: () => Promise<readonly Attachment[]>,
): Promise<readonly Attachment[]> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof SilentVms && error.others.some(({ diskId }) => diskId === extent?.diskId)) return error.others;
    throw error;
  }
}

function holderOf({ volume, problems }: VolumeRecord): string {
  return JSON.stringify([volume.attached, problems.holder]);
}

function unsettled(service: Service, { extent, volume }: VolumeRecord): LateChange | undefined {
  return extent && service.reconfigurations.unsettled(extent.diskId, volume.attached?.vm);
}

/** @throws Fault DeadlineExceeded, also when the hypervisor does not care for the limit */
export async function attachmentsOf(
  hypervisor: Hypervisor,
  timeoutMs: number,
  parent?: AbortSignal,
): Promise<readonly Attachment[]> {
  using limit = deadline(timeoutMs, 'asking the hypervisor what is attached', parent);
  return await abortable(hypervisor.attachments(limit.signal), limit.signal);
}
