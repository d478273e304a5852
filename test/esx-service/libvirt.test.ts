/** A QEMU that libvirt has started, as docs/qemu.md says that it should be, with libvirt's own hand on it. */
import { chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { silentLogger } from '../../common/logging.ts';
import { startService } from '../../esx-service/compose.ts';
import { serviceConfigSchema } from '../../esx-service/config.ts';
import type { ChannelEvent } from '../../native/channel/contract.ts';
import { never } from './support/commands.ts';
import { Libvirt, libvirtUser } from './support/libvirt.ts';
import { type Place, place, volumesOf } from './support/place.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { clientsOf, configIn } from './support/running.ts';

const { serial } = test;

/** Where the document has the QMP sockets. */
const documentedFolder = '/run/docker-volume-vmdk/qmp';
/** What every domain has; and no KVM, and no vsock device, which needs a module of the host's kernel. */
const ownParts = `
  <name>alpha</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>`;

/** The document's domain, completed. @returns the path of its XML */
async function documentedDomain(at: Place): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../../docs/qemu.md'), 'utf8');
  const [, xml = ''] = /^```xml\n(.*?)^```$/ms.exec(text) ?? [];
  const completed = xml
    .replace("type='kvm'", "type='qemu'")
    .replace(/^.*<vsock .*\n/m, '')
    .replace(`${documentedFolder}/web.qmp`, at.path('qmp/alpha.qmp'))
    .replace(/^<domain .*>$/m, (start) => start + ownParts);
  await writeFile(at.path('alpha.xml'), completed);
  return at.path('alpha.xml');
}

interface Bed {
  readonly at: Place;
  readonly libvirt: Libvirt;
  readonly domain: string;
}

/** The service, and libvirt with its domain alpha. */
async function start(t: ExecutionContext): Promise<Bed> {
  const at = await place(t);
  await mkdir(at.path('qmp'));
  await chown(at.path('qmp'), libvirtUser, libvirtUser);
  const libvirt = await Libvirt.start(at.folder);
  t.teardown(() => libvirt[Symbol.asyncDispose]());
  const domain = await documentedDomain(at);
  await libvirt.mustVirsh('create', domain);
  const config = { ...configIn(at), hypervisor: 'qemu', qmpSockets: at.path('qmp/*.qmp') };
  const service = await startService(serviceConfigSchema.parse(config), { logger: silentLogger });
  t.teardown(() => service.close());
  return { at, libvirt, domain };
}

serial(
  'libvirt: a domain with what docs/qemu.md says gets disks, which libvirt does not list, and frees them',
  async (t) => {
    const { at, libvirt, domain } = await start(t);
    const freed = Promise.withResolvers<ChannelEvent>();
    const beta = clientsOf(t, at).client('beta', { onEvent: (event) => isFree(event) && freed.resolve(event) });
    const alpha = clientsOf(t, at).client('alpha');
    await alpha.call('create', emptyDisk('db'), never);
    t.like(await alpha.call('attach', { name: 'db' }, never), { device: { kind: 'scsi', unit: 0 }, isReadOnly: false });
    t.notRegex(await libvirt.mustVirsh('domblklist', 'alpha'), /vmdk/);
    await alpha.call('detach', { name: 'db', isFormatted: false, isClonePrepared: false }, never);
    t.like(await alpha.call('attach', { name: 'db' }, never), { device: { kind: 'scsi', unit: 0 } });
    await beta.call('watch', {}, never);
    await libvirt.mustVirsh('destroy', 'alpha');
    await t.notThrowsAsync(freed.promise);
    await libvirt.mustVirsh('create', domain);
    t.like(await alpha.call('attach', { name: 'db' }, never), { device: { kind: 'scsi', unit: 0 } });
  },
);

serial(
  'libvirt: a domain saved without volumes comes back with its disks, and one saved with some does not',
  async (t) => {
    const { at, libvirt } = await start(t);
    const alpha = clientsOf(t, at).client('alpha');
    await alpha.call('create', emptyDisk('db'), never);
    const saved = at.path('share/saved');
    await libvirt.mustVirsh('save', 'alpha', saved);
    await libvirt.mustVirsh('restore', saved);
    await alpha.call('attach', { name: 'db' }, never);
    await libvirt.mustVirsh('save', 'alpha', saved);
    // Why, libvirt says only when it hears QEMU's last words before it hears of its end.
    t.regex((await libvirt.virsh('restore', saved)).stderr, /Failed to restore domain/);
  },
);

serial(
  'libvirt: a disk that is plugged in belongs to the user of its QEMU, who may enter the volumes’ folder but not list it',
  async (t) => {
    const { at } = await start(t);
    const alpha = clientsOf(t, at).client('alpha');
    await alpha.call('create', emptyDisk('db'), never);
    const volumes = volumesOf(at.path('local'));
    t.like(await stat(join(volumes, 'db-flat.vmdk')), { uid: 0, gid: 0, mode: 0o100600 });
    await alpha.call('attach', { name: 'db' }, never);
    t.like(await stat(join(volumes, 'db-flat.vmdk')), { uid: libvirtUser, gid: libvirtUser, mode: 0o100600 });
    t.like(await stat(join(volumes, 'db.vmdk')), { uid: 0, mode: 0o100600 });
    t.is((await stat(volumes)).mode & 0o777, 0o711);
  },
);

function isFree(event: ChannelEvent): boolean {
  return event.kind === 'changed' && event.volume.attached === undefined;
}
