/**
 * Who holds which disk, of what one QEMU has open. Invariant: each file that a QEMU has open is told, ours or not, as long
 * as it can be told which file that is: one of ours by its node's name, any other by the path under which it was opened.
 */
import { stat } from 'node:fs/promises';
import { faultOf } from '../../common/fault.ts';
import type { Device } from '../../native/channel/contract.ts';
import { type Attachment, SilentVms, type Vm } from '../core/holders.ts';
import { wwnText } from '../core/qemu-names.ts';
import type { Slot } from '../core/scsi-slots.ts';
import type { Change, Disk, Outcome } from '../ports/hypervisor.ts';
import { placeOf } from './qemu-plugging.ts';
import type { OpenDisk, QemuSession } from './qemu-session.ts';
import { diskIdOf } from './volume-reader.ts';

export interface FoundDisk extends OpenDisk {
  /** Every one of our disks' files, and every other file, that is behind it. */
  readonly diskIds: readonly string[];
}

export async function findDisks(session: QemuSession, signal: AbortSignal): Promise<readonly FoundDisk[]> {
  const disks = await session.openDisks(signal);
  return await Promise.all(
    disks.map(async (disk) => {
      if (disk.diskId !== undefined) return { ...disk, diskIds: [disk.diskId] };
      const statuses = await Promise.all(disk.paths.map((path) => stat(path).catch(() => undefined)));
      return { ...disk, diskIds: statuses.flatMap((status) => (status ? [diskIdOf(status)] : [])) };
    }),
  );
}

export function attachmentsOf(vm: Vm, disks: readonly FoundDisk[]): readonly Attachment[] {
  return disks.flatMap((disk) =>
    disk.diskIds.map((diskId): Attachment => {
      const { slot, isReadOnly, paths, name } = disk;
      const path = paths[0];
      if (slot) return { diskId, path, device: deviceOf(slot, disk), isReadOnly, holder: { vm } };
      const other = `to VM ${vm.name} by something else, as ${name}; detach it there, and run "vmdkops check"`;
      return { diskId, path, device: noPlace, isReadOnly, holder: { other } };
    }),
  );
}

/**
 * @param answers of these VMs, in their order; of those that were found meanwhile there is none
 * @throws SilentVms
 */
export function allTold(
  vms: readonly Vm[],
  answers: readonly PromiseSettledResult<readonly Attachment[]>[],
): readonly Attachment[] {
  const told = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const silent = vms.filter((_, place) => answers[place]?.status === 'rejected');
  if (silent.length === 0) return told;
  const reasons = answers.flatMap((answer) => (answer.status === 'rejected' ? faultOf(answer.reason) : []));
  throw new SilentVms(silent, told, reasons);
}

/** What the VM holds after these changes; undefined when that is in doubt. */
export function afterChanges(
  vm: Vm,
  before: readonly FoundDisk[],
  changes: readonly Change[],
  outcomes: readonly Outcome[],
): readonly Attachment[] | undefined {
  const held = new Map(attachmentsOf(vm, before).map((attachment) => [attachment.diskId, attachment]));
  for (const [place, change] of changes.entries()) {
    const outcome = outcomes[place];
    if (!outcome || ('fault' in outcome && outcome.fault.class === 'unsure')) return undefined;
    if ('fault' in outcome) continue;
    const { diskId, path } = change.disk.extent;
    if (change.do === 'detach') held.delete(diskId);
    else held.set(diskId, { diskId, path, device: outcome.device, isReadOnly: change.isReadOnly, holder: { vm } });
  }
  return [...held.values()];
}

/** Of a disk that is nowhere that a guest would find it. */
const noPlace: Device = { kind: 'scsi', pciSlot: '', pciBus: '', unit: 0 };

export function deviceOf(slot: Slot, { uuid }: OpenDisk): Device {
  return uuid === undefined ? placeOf(slot) : { ...placeOf(slot), wwn: wwnText(uuid) };
}

export function isOf({ diskIds }: FoundDisk, { extent }: Disk): boolean {
  return diskIds.includes(extent.diskId);
}
