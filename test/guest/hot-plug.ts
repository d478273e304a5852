/** Steps of tests whose guests get their disks from a service on this machine, by QMP. */
import type { ExecutionContext } from 'ava';
import { daemon } from '../esx-service/support/daemon.ts';
import { type Place, place } from '../esx-service/support/place.ts';
import type { Guest } from './guest.ts';
import { askPlugin, servicePort } from './plugin-guest.ts';

/**
 * The service knows each guest by its socket, which is the other end of the guest's CID 2, and reaches its QEMU. There is
 * one VM more, `bystander`, which is off, for clients on this machine.
 */
export async function startService(
  t: ExecutionContext,
  guests: Readonly<Record<string, Guest>>,
  config: Readonly<Record<string, unknown>> = {},
): Promise<Place> {
  const at = await place(t);
  const bystander = { name: 'bystander', qmp: at.path('bystander.qmp'), socket: at.path('bystander.sock') };
  const vms = Object.entries(guests).map(([name, { qmpSocket, vsock }]) => {
    return { name, qmp: qmpSocket, socket: vsock.socketOf(servicePort) };
  });
  await daemon(t, at, { hypervisor: 'qemu', vms: [...vms, bystander], ...config });
  return at;
}

export async function mount(t: ExecutionContext, guest: Guest, name: string, id = 'one'): Promise<string> {
  const { Err, Mountpoint = '' } = await askPlugin(guest, 'Mount', { Name: name, ID: id });
  t.is(Err, '');
  return Mountpoint;
}

export async function unmount(t: ExecutionContext, guest: Guest, name: string, id = 'one'): Promise<void> {
  t.like(await askPlugin(guest, 'Unmount', { Name: name, ID: id }), { Err: '' });
}

/** Written through to the disk. @returns its checksum */
export async function writeFile(guest: Guest, folder: string): Promise<string> {
  return await guest.mustRun(`cd '${folder}' && dd if=/dev/urandom of=file bs=64k count=64 && sync && sha256sum file`);
}

export async function checksum(guest: Guest, folder: string): Promise<string> {
  return await guest.mustRun(`cd '${folder}' && sha256sum file`);
}

/** The guest's SCSI disks that its kernel knows. */
export async function disksOf(guest: Guest): Promise<string> {
  return await guest.mustRun('ls /sys/class/scsi_disk');
}
