/** How a volume looks in `docker volume inspect` and `ls`: the archived product's status fields, and ours. Pure. */
import { formatSize } from '../../common/sizes.ts';
import type { Device, Volume } from '../../native/channel/contract.ts';

/** A volume as Docker's plugin protocol has it. */
export interface DockerVolume {
  readonly Name: string;
  /** Empty when it is not mounted. */
  readonly Mountpoint: string;
  /** RFC 3339: dockerd takes any other form for "no such volume". */
  readonly CreatedAt: string;
  readonly Status: Readonly<Record<string, unknown>>;
}

/** What this guest adds to what the service says. */
export interface LocalState {
  /** Empty when the volume is not mounted here. */
  readonly path: string;
  readonly references: number;
  /** Why it cannot be used here, whatever the service says of it. */
  readonly problem: string | undefined;
  /** Set when the service cannot be asked now: since when the view stands, RFC 3339. */
  readonly viewFrom: string | undefined;
}

/** @param asked the name exactly as Docker asked: dockerd loses its in-use guard when it is answered in another form */
export function dockerVolume(asked: string, volume: Volume, local: LocalState): DockerVolume {
  return { Name: asked, Mountpoint: local.path, CreatedAt: volume.createdAt, Status: statusOf(volume, local) };
}

/** The name by which lists show a volume: as its creator typed it, as far as that is unambiguous on this guest. */
export function listedName(volume: Volume, defaultDatastore: string): string {
  const isShort = !volume.isNamedInFull && volume.datastore === defaultDatastore;
  return isShort ? volume.name : `${volume.name}@${volume.datastore}`;
}

function statusOf(volume: Volume, local: LocalState): Readonly<Record<string, unknown>> {
  const problem = volume.problem ?? local.problem;
  return {
    'created by VM': volume.createdBy,
    created: asctime(new Date(volume.createdAt)),
    status: volume.attached ? 'attached' : 'detached',
    capacity: { size: formatSize(volume.sizeBytes), allocated: formatSize(volume.allocatedBytes) },
    datastore: volume.datastore,
    ...(volume.attached && {
      'attached to VM': volume.attached.vm.name,
      attachedVMDevice: shownDevice(volume.attached.device),
    }),
    fstype: volume.fstype ?? 'unknown',
    diskformat: volume.diskformat,
    'attach-as': volume.attachAs,
    access: volume.access,
    'clone-from': volume.cloneFrom ?? 'None',
    ...(volume.mountOptions.length > 0 && { 'mount-options': volume.mountOptions.join(',') }),
    references: local.references,
    ...(problem !== undefined && { problem }),
    ...(local.viewFrom !== undefined && { host: `unreachable; this is what was known at ${local.viewFrom}` }),
  };
}

function shownDevice(device: Device): Readonly<Record<string, unknown>> {
  return device.kind === 'loop'
    ? { Path: device.path }
    : { Unit: String(device.unit), ControllerPciSlotNumber: device.pciSlot, ControllerPciBusNumber: device.pciBus };
}

/** C's asctime in GMT, as the archived product wrote it: `Thu Jan  1 00:00:00 1970`. */
function asctime(date: Date): string {
  if (Number.isNaN(date.getTime())) return 'unknown';
  const [weekday = '', day = '', month = '', year = '', time = ''] = date.toUTCString().replace(',', '').split(' ');
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}
