/**
 * This machine as the hypervisor: its VMs are programs on the same kernel, and their disks are loop devices. Invariants:
 * who holds a disk is written on the loop device itself, so that it is known after any restart and forgotten with the
 * device; a device is only detached while it still is the one that was attached.
 */
import { Fault, faultOf, messageOf } from '../../common/fault.ts';
import type { Device } from '../../native/channel/contract.ts';
import { attachLoop, detachLoop, listLoops, type LoopDevice } from '../../native/loop-devices.ts';
import { codeOf } from '../../native/system-error.ts';
import type { Attachment, Vm } from '../core/holders.ts';
import { parseLoopLabel, vmMark, writeLoopLabel } from '../core/loop-label.ts';
import type { Change, Disk, Hypervisor, Outcome } from '../ports/hypervisor.ts';

/** What the kernel answers of a loop device that is not attached. */
const goneCodes: readonly string[] = ['ENXIO', 'ENODEV', 'ENOENT'];
/** What it answers of a backing file whose file system is read-only or broken. */
const unopenableCodes: readonly string[] = ['EROFS', 'EIO', 'ESTALE'];

export class LoopHypervisor implements Hypervisor {
  readonly kind = 'loop';
  readonly hasPciAddresses = false;
  /** Each loop device is changed by itself; one that another program keeps open must not make others wait. */
  readonly hasOneTaskPerVm = false;
  readonly vms: readonly Vm[];
  readonly #byMark: ReadonlyMap<string, Vm>;

  constructor(vms: readonly Vm[]) {
    this.vms = vms;
    this.#byMark = new Map(vms.map((vm) => [vmMark(vm.id), vm]));
  }

  async attachments(): Promise<readonly Attachment[]> {
    return (await listLoops()).map((loop) => this.#attachmentOf(loop));
  }

  /** Tells nothing, ever: programs on this machine cannot be powered off apart from it. */
  watchPower(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  #attachmentOf(loop: LoopDevice): Attachment {
    const label = parseLoopLabel(loop.label);
    const vm = label && this.#byMark.get(label.vmMark);
    const detachIt = `detach it with "losetup -d ${loop.path}"`;
    const stranger = label
      ? `as ${loop.path} to a VM that is not configured; configure that VM again, or ${detachIt}`
      : `by something else, as ${loop.path}; ${detachIt}`;
    return {
      diskId: `${loop.backingDevice}:${loop.backingInode}`,
      path: loop.backingPath,
      device: { kind: 'loop', path: loop.path, diskSequence: loop.diskSequence },
      isReadOnly: loop.isReadOnly,
      holder: vm ? { vm } : { other: `${stranger}, and run "vmdkops check"` },
    };
  }

  async reconfigure(vm: Vm, changes: readonly Change[], signal: AbortSignal): Promise<readonly Outcome[]> {
    signal.throwIfAborted();
    return await Promise.all(
      changes.map(async (change): Promise<Outcome> => {
        try {
          return {
            device:
              change.do === 'attach' ? await attach(vm, change.disk, change.isReadOnly) : await detach(change.device),
          };
        } catch (error) {
          return { fault: faultOf(error) };
        }
      }),
    );
  }
}

async function attach(vm: Vm, { extent, uuid }: Disk, isReadOnly: boolean): Promise<Device> {
  const label = writeLoopLabel(vm.id, uuid);
  const { offsetBytes, sizeBytes: sizeLimitBytes } = extent;
  try {
    const { path, diskSequence } = await attachLoop({
      backingPath: extent.path,
      isReadOnly,
      offsetBytes,
      sizeLimitBytes,
      label,
    });
    return { kind: 'loop', path, diskSequence };
  } catch (error) {
    if (!unopenableCodes.includes(codeOf(error) ?? '')) throw error;
    const sentence = `the disk ${extent.path} cannot be opened: ${messageOf(error)}`;
    throw new Fault('HostUnavailable', `${sentence}; see that its datastore is writable and in order`, {
      cause: error,
    });
  }
}

async function detach(device: Device): Promise<Device> {
  if (device.kind !== 'loop') throw new Fault('Internal', `a ${device.kind} device is no loop device`);
  try {
    // With the sequence number: somebody else may have detached it, and its number may serve another disk by now.
    await detachLoop(device.path, device.diskSequence);
  } catch (error) {
    if (codeOf(error) === 'EBUSY') {
      throw new Fault('VolumeInUse', `${device.path} is still mounted or in use; unmount it first`, { cause: error });
    }
    if (!goneCodes.includes(codeOf(error) ?? '')) throw error;
  }
  return device;
}
