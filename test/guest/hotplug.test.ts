/**
 * The whole way of a volume: the plugin in a guest, over vsock to a service on this machine, which plugs the disk into that
 * guest by QMP, where the plugin finds, formats and mounts it.
 */
import test, { type ExecutionContext } from 'ava';
import { daemon } from '../esx-service/support/daemon.ts';
import { type Place, place } from '../esx-service/support/place.ts';
import type { Guest } from './guest.ts';
import { askInTurn, askPlugin, bootPluginGuest, servicePort, startPlugin } from './plugin-guest.ts';

const { serial } = test;

let alpha: Guest;

test.before(async () => {
  alpha = await bootPluginGuest();
});
test.after.always(async () => {
  await alpha[Symbol.asyncDispose]();
});

/** The service knows each guest by its socket, which is the other end of the guest's CID 2, and reaches its QEMU. */
async function startService(t: ExecutionContext, guests: Readonly<Record<string, Guest>>): Promise<Place> {
  const at = await place(t);
  const vms = Object.entries(guests).map(([name, { qmpSocket, vsock }]) => {
    return { name, qmp: qmpSocket, socket: vsock.socketOf(servicePort) };
  });
  await daemon(t, at, { hypervisor: 'qemu', vms });
  return at;
}

async function mount(t: ExecutionContext, guest: Guest, name: string, id = 'one'): Promise<string> {
  const { Err, Mountpoint = '' } = await askPlugin(guest, 'Mount', { Name: name, ID: id });
  t.is(Err, '');
  return Mountpoint;
}

async function unmount(t: ExecutionContext, guest: Guest, name: string, id = 'one'): Promise<void> {
  t.like(await askPlugin(guest, 'Unmount', { Name: name, ID: id }), { Err: '' });
}

/** Written through to the disk. @returns its checksum */
async function writeFile(guest: Guest, folder: string): Promise<string> {
  return await guest.mustRun(`cd '${folder}' && dd if=/dev/urandom of=file bs=64k count=64 && sync && sha256sum file`);
}

async function checksum(guest: Guest, folder: string): Promise<string> {
  return await guest.mustRun(`cd '${folder}' && sha256sum file`);
}

/** The guest's SCSI disks that its kernel knows. */
async function disksOf(guest: Guest): Promise<string> {
  return await guest.mustRun('ls /sys/class/scsi_disk');
}

serial('hot-plug: a volume is plugged in, formatted, mounted and pulled out, and keeps what was written', async (t) => {
  await startService(t, { alpha });
  await startPlugin(t, alpha);
  t.like(await askInTurn(alpha, ['Create', { Name: 'db', Opts: { size: '100mb' } }]), [{ Err: '' }]);
  const folder = await mount(t, alpha, 'db');
  const written = await writeFile(alpha, folder);
  t.regex(await disksOf(alpha), /^\d+:0:0:0\n$/);
  await unmount(t, alpha, 'db');
  t.is(await disksOf(alpha), '');
  t.is(await checksum(alpha, await mount(t, alpha, 'db')), written);
  await unmount(t, alpha, 'db');
  t.like(await askInTurn(alpha, ['Remove', { Name: 'db' }], ['List', {}]), [{ Err: '' }, { Err: '', Volumes: [] }]);
});
