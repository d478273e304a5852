/**
 * Version 2, the archived product's protocol: its requests as it sent them, and its replies as it read them. As
 * tolerant as it was: unknown fields are ignored, `Opts` and `version` may be missing, a version may be a number. What
 * a command means is decided elsewhere.
 */
import * as z from 'zod';
import { Fault } from '../../common/fault.ts';
import { formatSize } from '../../common/sizes.ts';
import type { Device, Volume } from './contract.ts';

export const v2Commands = ['create', 'remove', 'attach', 'detach', 'get', 'list'] as const;
export type V2Command = (typeof v2Commands)[number];

/** A request that passed: known command, version 2. */
export interface V2Request {
  readonly cmd: V2Command;
  /** As typed: `name` or `name@datastore`; empty for `list`. */
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

const requestSchema = z.object({
  cmd: z.string(),
  details: z.object({ Name: z.string().nullish(), Opts: z.record(z.string(), z.string()).nullish() }).nullish(),
  version: z.union([z.string(), z.number()]).nullish(),
});

/** @throws Fault InvalidRequest, or ProtocolMismatch when it is of another version */
export function parseV2Request(message: unknown): V2Request {
  const { success, data, error } = requestSchema.safeParse(message);
  if (!success) {
    const problems = error.issues.map(({ path, message: why }) => `${path.join('.') || 'request'}: ${why}`);
    throw new Fault('InvalidRequest', problems.join('; '));
  }
  if (data.version != null && Number(data.version) !== 2) {
    throw new Fault(
      'ProtocolMismatch',
      `protocol version ${data.version} is not served, only 2 and 3; install equal releases in the VM and on the host`,
    );
  }
  const cmd = v2Commands.find((known) => known === data.cmd);
  if (!cmd) throw new Fault('InvalidRequest', `unknown command ${JSON.stringify(data.cmd)}`);
  return { cmd, name: data.details?.Name ?? '', options: data.details?.Opts ?? {} };
}

/** The reply to a command that failed. */
export interface V2Error {
  readonly Error: string;
}

export function v2Error(fault: Fault): V2Error {
  return { Error: fault.message };
}

/** The reply to `attach`, and part of the one to `get`. */
export interface V2Device {
  readonly Unit: string;
  readonly ControllerPciSlotNumber: string;
  readonly ControllerPciBusNumber: string;
}

/** @throws Fault NotSupported for a device that the archived product cannot find */
export function v2Device(device: Device): V2Device {
  if (device.kind !== 'scsi') {
    throw new Fault('NotSupported', 'this plugin only knows SCSI disks; install the release of the host in the VM');
  }
  return {
    Unit: String(device.unit),
    ControllerPciSlotNumber: device.pciSlot,
    ControllerPciBusNumber: device.pciBus,
  };
}

/** One volume in the reply to `list`. */
export interface V2Listed {
  readonly Name: string;
  readonly Attributes: Readonly<Record<string, never>>;
}

/** @param names full names: the archived product always listed `name@datastore` */
export function v2List(names: readonly string[]): readonly V2Listed[] {
  return names.map((name) => ({ Name: name, Attributes: {} }));
}

/** The reply to `get`: the archived product's keys, each of them text that its users' scripts read. */
export type V2Status = Readonly<
  Record<string, string | V2Device | { readonly size: string; readonly allocated: string }>
>;

export function v2Status(volume: Volume): V2Status {
  const { attached } = volume;
  return {
    'created by VM': volume.createdBy,
    created: asctime(new Date(volume.createdAt)),
    status: attached ? 'attached' : 'detached',
    capacity: { size: formatSize(volume.sizeBytes), allocated: formatSize(volume.allocatedBytes) },
    datastore: volume.datastore,
    diskformat: volume.diskformat,
    access: volume.access,
    'attach-as': volume.attachAs,
    'clone-from': volume.cloneFrom ?? 'None',
    ...(volume.fstype && { fstype: volume.fstype }),
    ...(attached && { 'attached to VM': attached.vm.name }),
    ...(attached?.device.kind === 'scsi' && { attachedVMDevice: v2Device(attached.device) }),
  };
}

/** `Thu Mar  1 09:05:00 2018`, in GMT. */
function asctime(date: Date): string {
  const [weekday = '', day = '', month = '', year = '', time = ''] = date.toUTCString().replace(',', '').split(' ');
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}
