/**
 * What QEMU refused, in sentences for users. QEMU gives one class to nearly all of its errors and keeps their wording
 * over releases, so this is the one place that reads it; what it does not know it hands on in QEMU's own words.
 */
import { Fault, faultOf, messageOf } from '../../common/fault.ts';
import type { Vm } from '../core/holders.ts';
import { type ControllerKind, slotCount } from '../core/scsi-slots.ts';
import type { Disk } from '../ports/hypervisor.ts';
import { QmpRefusal } from './qmp-connection.ts';

/** Another program holds one of the locks that QEMU takes on every image file. */
export function isLockRefusal(error: unknown): boolean {
  return error instanceof QmpRefusal && /^Failed to (?:get (?:shared )?"[\w -]+" lock|lock byte)/.test(error.message);
}

/** Somebody plugged a device in there since we looked. */
export function isSlotRefusal(error: unknown): boolean {
  return error instanceof QmpRefusal && error.message.startsWith('lun already used by ');
}

export function isMissing(error: unknown): boolean {
  if (!(error instanceof QmpRefusal)) return false;
  return error.refusalClass === 'DeviceNotFound' || error.message.startsWith('Failed to find node with node-name=');
}

/** @param holder as the end of "it is held by …" */
export function lockFault({ name }: Vm, { extent }: Disk, holder: string, cause: unknown): Fault {
  const sentence = `the disk ${extent.path} cannot be attached to VM ${name}: it is held by ${holder}`;
  return new Fault('VolumeInUse', sentence, { cause });
}

/** Of a VM that did not say what it holds. */
export function silenceFault({ name }: Vm, path: string, error: unknown): Fault {
  const fault = faultOf(error);
  if (fault.class !== 'unsure') return fault;
  const sentence = `VM ${name} does not answer at its QMP socket ${path}`;
  const hint = 'see that its QEMU is not stuck, and that nobody else is connected there';
  return new Fault('HostUnavailable', `${sentence}; ${hint}`, { cause: error });
}

export function attachFault({ name }: Vm, { extent }: Disk, error: unknown): unknown {
  if (!(error instanceof QmpRefusal)) return error;
  const sentence = `QEMU of VM ${name} cannot use the disk ${extent.path}: ${messageOf(error)}`;
  const hint = 'see that it is there, and that the user and the confinement of that QEMU let it read and write it';
  return new Fault('HostUnavailable', `${sentence}; ${hint}`, { cause: error });
}

export function detachFault({ name }: Vm, { extent }: Disk, error: unknown): unknown {
  if (!(error instanceof QmpRefusal)) return error;
  return new Fault(
    'HostUnavailable',
    `QEMU of VM ${name} did not let go the disk ${extent.path}: ${messageOf(error)}; try again later`,
    { cause: error },
  );
}

/** Nothing was sent that changes anything. */
export function notBegunFault(vm: Vm, error: unknown): Fault {
  const fault = faultOf(error);
  if (fault.class !== 'unsure') return fault;
  const sentence = `VM ${vm.name} does not answer over QMP: ${fault.message}; nothing was changed`;
  return new Fault('HostUnavailable', sentence, { cause: error });
}

export function noSlotFault({ name }: Vm, kind: ControllerKind, controllers: number): Fault {
  const example = `-device ${kind === 'pvscsi' ? kind : `${kind}-pci`},id=vmdk${controllers}`;
  const has =
    controllers === 0
      ? `VM ${name} has no ${kind} controller that has an id`
      : `the ${controllers} ${kind} controllers of VM ${name} hold ${slotCount(kind)} disks each, and are full`;
  return new Fault('NoFreeSlot', `${has}; start it with one more, such as "${example}"`);
}
