/**
 * What runs the virtual machines and gives them disks. Only facts: who may hold what is decided by the service, and
 * what is attached is known to the hypervisor alone, so nobody else writes it down.
 */
import type { Fault } from '../../common/fault.ts';
import type { Device } from '../../native/channel/contract.ts';
import type { DiskUuid } from '../core/disk-uuid.ts';
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
  /** Absent where VMs have no vsock address. */
  readonly vmOfContextId?: (contextId: number) => Vm | undefined;
  /** Every attached disk, our volumes or not, as it is now. */
  attachments(): Promise<readonly Attachment[]>;
  /**
   * Makes the changes of one VM, in one step where the hypervisor can; one outcome for each. Detaching what is not
   * attached any more succeeds; what the guest still uses is refused with VolumeInUse and stays attached.
   */
  reconfigure(vm: Vm, changes: readonly Change[], signal: AbortSignal): Promise<readonly Outcome[]>;
}
