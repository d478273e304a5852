/**
 * Who holds which disk, joined to the volumes. Invariant: a volume that is attached twice, by a stranger, or through a
 * second name is never offered for use. Pure: no I/O.
 */
import { Fault } from '../../common/fault.ts';
import type { FullName } from '../../common/names.ts';
import type { Device } from '../../native/channel/contract.ts';
import { fullNameOf, type VolumeRecord, withProblem, withVolume } from './volume-record.ts';

export interface Vm {
  readonly id: string;
  readonly name: string;
}

export interface Attachment {
  /** As in `Extent.diskId`. */
  readonly diskId: string;
  /** Where its bytes are, if the hypervisor says. */
  readonly path?: string | undefined;
  readonly device: Device;
  readonly isReadOnly: boolean;
  /** One of our VMs; else what is known of whoever it is, as the end of the sentence "it is attached …". */
  readonly holder: { readonly vm: Vm } | { readonly other: string };
}

/**
 * Some VMs do not say what they hold: of a disk that no other one holds it is not known who does. Whoever is told so
 * neither gives such a disk to anybody nor takes it for free.
 */
export class SilentVms extends Fault {
  readonly vms: readonly Vm[];
  /** What the others hold. */
  readonly others: readonly Attachment[];

  constructor(vms: readonly Vm[], others: readonly Attachment[], reasons: readonly Fault[]) {
    super('HostUnavailable', reasons.map(({ message }) => message).join('; '), { cause: reasons[0] });
    this.vms = vms;
    this.others = others;
  }
}

/** The record with the holder that the hypervisor tells, or with the problem that it makes, and no earlier one. */
export function withHolder(record: VolumeRecord, attachments: readonly Attachment[]): VolumeRecord {
  const free = withProblem(withVolume(record, { attached: undefined }), 'holder', undefined);
  const found = attachments.filter((attachment) => attachment.diskId === record.extent?.diskId);
  const [holder, ...others] = found;
  if (!holder) return free;
  if (others.length > 0) {
    const devices = found.map(({ device }) => deviceText(device)).join(' and ');
    return withProblem(
      free,
      'holder',
      `it is attached more than once, as ${devices}; detach all but one of them and run "vmdkops check"`,
    );
  }
  if ('other' in holder.holder) return withProblem(free, 'holder', `it is attached ${holder.holder.other}`);
  const { isReadOnly, device } = holder;
  return { ...withVolume(free, { attached: { vm: holder.holder.vm, device } }), isAttachedReadOnly: isReadOnly };
}

/** Two descriptors that name one file would let two VMs write one disk. */
export function markShared(records: readonly VolumeRecord[]): readonly VolumeRecord[] {
  const byDisk = Map.groupBy(records, (record) => record.extent?.diskId);
  return records.map((record) => {
    const twin = record.extent && byDisk.get(record.extent.diskId)?.find((other) => other !== record);
    return withTwin(record, twin && fullNameOf(twin));
  });
}

/** @param twin another volume that has the same extent */
export function withTwin(record: VolumeRecord, twin: FullName | undefined): VolumeRecord {
  const problem = twin === undefined ? undefined : `its extent is also the extent of volume ${twin}; give each its own`;
  return withProblem(record, 'twin', problem);
}

export function deviceText(device: Device): string {
  return device.kind === 'loop' ? device.path : `SCSI unit ${device.unit}`;
}
