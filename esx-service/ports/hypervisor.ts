/**
 * What runs the virtual machines and gives them disks. Only facts: who may hold what is decided by the service, and
 * what is attached is known to the hypervisor alone, so nobody else writes it down.
 */
import type { Fault } from '../../common/fault.ts';
import type { Device } from '../../native/channel/contract.ts';
import type { DiskUuid } from '../../common/disk-uuid.ts';
import type { Attachment, Vm } from '../core/holders.ts';
import type { Extent } from '../core/volume-record.ts';

export interface Disk {
  readonly uuid: DiskUuid;
  readonly extent: Extent;
}

export type Change =
  | { readonly do: 'attach'; readonly disk: Disk; readonly isReadOnly: boolean }
  | { readonly do: 'detach'; readonly disk: Disk; readonly device: Device };

/** What became of one change; a failed one has changed nothing, unless its fault is *unsure*. */
export type Outcome = { readonly device: Device } | { readonly fault: Fault };

export interface Hypervisor {
  readonly kind: string;
  readonly vms: readonly Vm[];
  /** Whether guests find their disks by PCI address, the only way that version 2 of the protocol knows. */
  readonly hasPciAddresses: boolean;
  /**
   * Whether a VM is changed by one task at a time: then calls for it come one after another, each with all the changes
   * that wait. Where it is not, each change is a call of its own, and no change waits for another one's disk.
   */
  readonly hasOneTaskPerVm: boolean;
  /** Absent where VMs have no vsock address. */
  readonly vmOfContextId?: (contextId: number) => Vm | undefined;
  /**
   * Every attached disk, our volumes or not, as it is now. A VM that is off holds nothing.
   * @throws SilentVms when some VMs do not answer, and what they hold cannot be known otherwise
   */
  attachments(signal: AbortSignal): Promise<readonly Attachment[]>;
  /**
   * Makes the changes of one VM, in one step where the hypervisor can; one outcome for each, in their order. Detaching
   * what is not attached any more succeeds; what the guest still uses is refused with VolumeInUse and stays attached.
   * The signal is a time limit: what was not sent when it is aborted is not sent any more.
   * @throws Fault when the call failed as a whole: nothing was changed, unless it is *unsure*
   */
  reconfigure(vm: Vm, changes: readonly Change[], signal: AbortSignal): Promise<readonly Outcome[]>;
  /**
   * Tells each VM that is off from now on: powered off, crashed or deleted. By then its disks are free, or soon will be
   * without anybody's doing. Told too when it may have been off, as after a lost connection, and when somebody else took
   * a disk out of it: whoever hears it asks. Told at any moment, within a call too; the listener neither waits nor throws.
   * @returns ends the subscription; may be disposed again
   */
  watchPower(listener: (vm: Vm) => void): Disposable;
}
