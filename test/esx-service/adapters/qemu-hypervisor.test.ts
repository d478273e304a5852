/** What is QEMU's own of disks and their places, on real QEMUs without an operating system. */
import { mkdir, writeFile } from 'node:fs/promises';
import test from 'ava';
import { never, refused, startCommands } from '../support/commands.ts';
import {
  alpha,
  attachOf,
  attachTo,
  beta,
  detachFrom,
  deviceOf,
  diskIn,
  heldOf,
} from '../support/hypervisor-contract.ts';
import { place, run, volumesOf } from '../support/place.ts';
import { openQemus, startQemu } from '../support/qemu.ts';

const { serial } = test;

serial('qemu hypervisor: 70 disks fill two pvscsi controllers evenly, and unit 7 is left out', async (t) => {
  const at = await place(t);
  const devices = ['pvscsi,id=vmdk0', 'pvscsi,id=vmdk1', 'virtio-scsi-pci,id=other'];
  await startQemu(t, at, { name: 'alpha', devices });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const disks = await Promise.all(Array.from({ length: 70 }, (_, number) => diskIn(at, `disk${number}`)));
  const begun = performance.now();
  const outcomes = await hypervisor.reconfigure(
    alpha,
    disks.map((disk) => attachOf(disk)),
    never,
  );
  const attachedMs = performance.now() - begun;
  const places = outcomes.map(deviceOf).map((device) => (device.kind === 'scsi' ? device : undefined));
  t.is(new Set(places.map((place) => `${place?.pciSlot} ${place?.unit}`)).size, 70);
  t.is(new Set(places.map((place) => place?.pciSlot)).size, 2);
  t.is(new Set(places.map((place) => place?.wwn)).size, 70);
  t.false(places.some((place) => place?.unit === 7));
  t.is(Math.max(...places.map((place) => place?.unit ?? 0)), 35);
  t.is((await heldOf(hypervisor, ...disks)).length, 70);
  const changes = disks.map((disk, index) => ({ do: 'detach', disk, device: deviceOf(outcomes[index]) }) as const);
  const middle = performance.now();
  for (const outcome of await hypervisor.reconfigure(alpha, changes, never)) deviceOf(outcome);
  t.log(`70 attached in ${Math.round(attachedMs)} ms, detached in ${Math.round(performance.now() - middle)} ms`);
  t.deepEqual(await hypervisor.attachments(never), []);
});

serial('qemu hypervisor: with no slot left, and with no controller, it says what to add', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha', devices: ['pvscsi,id=vmdk0'] });
  await startQemu(t, at, { name: 'beta', devices: ['virtio-scsi-pci,id=vmdk0', 'pvscsi'] });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const disks = await Promise.all(Array.from({ length: 66 }, (_, number) => diskIn(at, `disk${number}`)));
  const changes = disks.map((disk) => attachOf(disk));
  const outcomes = await hypervisor.reconfigure(alpha, changes, never);
  t.is(outcomes.filter((outcome) => 'device' in outcome).length, 64);
  const [disk = await diskIn(at, 'none')] = disks.slice(-1);
  await refused(t, attachTo(hypervisor, alpha, disk), 'NoFreeSlot', 'VM alpha', '1 pvscsi', '64', 'id=vmdk1');
  await refused(t, attachTo(hypervisor, beta, disk), 'NoFreeSlot', 'VM beta', 'no pvscsi', '-device pvscsi,id=vmdk0');
  const nodes = (await qemu.ask('query-named-block-nodes', { flat: true })) as unknown[];
  t.is(nodes.length, 128, 'what was refused left no node');
});

serial('qemu hypervisor: a disk that another VM holds is refused with that VM’s name, and left alone', async (t) => {
  const at = await place(t);
  for (const name of ['alpha', 'beta']) await startQemu(t, at, { name });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const disk = await diskIn(at, 'disk');
  await attachTo(hypervisor, alpha, disk);
  for (const isReadOnly of [false, true]) {
    await refused(t, attachTo(hypervisor, beta, disk, isReadOnly), 'VolumeInUse', disk.extent.path, 'VM alpha');
  }
  t.like(await heldOf(hypervisor, disk), [{ holder: { vm: alpha } }]);
});

serial('qemu hypervisor: a disk that a QEMU holds that is not ours is refused with its name', async (t) => {
  const at = await place(t);
  await startQemu(t, at, { name: 'alpha' });
  const stranger = await startQemu(t, at, { name: 'stranger' });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const disk = await diskIn(at, 'disk');
  const file = { driver: 'file', filename: disk.extent.path };
  await stranger.ask('blockdev-add', { 'node-name': 'theirs', driver: 'raw', file });
  await stranger.ask('device_add', { driver: 'scsi-hd', drive: 'theirs', bus: 'vmdk0.0' });
  const mentions = [disk.extent.path, 'VM stranger', `process ${stranger.pid}`];
  await refused(t, attachTo(hypervisor, alpha, disk), 'VolumeInUse', ...mentions);
  await stranger.kill();
  await attachTo(hypervisor, alpha, disk);
});

serial('qemu hypervisor: what others attached to a VM of ours is told, also through a descriptor', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha', devices: ['pvscsi,id=vmdk0', 'virtio-scsi-pci,id=vs0'] });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const [plain, hidden, loose] = [
    await diskIn(at, 'plain'),
    await diskIn(at, 'v-flat.vmdk'),
    await diskIn(at, 'loose'),
  ];
  const lines = ['# Disk DescriptorFile', 'version=1', 'CID=12345678', 'parentCID=ffffffff', 'createType="vmfs"'];
  await writeFile(at.path('v.vmdk'), [...lines, 'RW 8192 VMFS "v-flat.vmdk"', ''].join('\n'));
  const open = async (node: string, driver: string, filename: string): Promise<void> => {
    await qemu.ask('blockdev-add', { 'node-name': node, driver, file: { driver: 'file', filename } });
  };
  await open('plain', 'raw', plain.extent.path);
  await qemu.ask('device_add', { driver: 'scsi-hd', drive: 'plain', bus: 'vs0.0', 'scsi-id': 9 });
  await open('hidden', 'vmdk', at.path('v.vmdk'));
  await qemu.ask('device_add', { driver: 'virtio-blk-pci', id: 'vd0', drive: 'hidden' });
  await open('loose', 'raw', loose.extent.path);
  const [first, second, third, ...more] = await heldOf(hypervisor, plain, hidden, loose);
  t.like(first, { device: { kind: 'scsi', unit: 9 }, holder: { vm: alpha }, path: plain.extent.path });
  t.true(second && 'other' in second.holder && second.holder.other.startsWith('to VM alpha by something else, as '));
  t.true(third && 'other' in third.holder);
  t.deepEqual(more, []);
  await detachFrom(hypervisor, alpha, plain, first?.device ?? { kind: 'loop', path: '', diskSequence: 0 });
  await refused(t, attachTo(hypervisor, alpha, hidden), 'VolumeInUse', 'VM alpha itself');
});

serial('qemu hypervisor: a socket of another VM than was meant is not used', async (t) => {
  const at = await place(t);
  const uuid = '11111111-2222-4333-8444-555555555555';
  const { qmp } = await startQemu(t, at, { name: 'alpha', uuid });
  const wanted = '99999999-2222-4333-8444-555555555555';
  const hypervisor = await openQemus(t, () => qmp, { vms: [{ vm: alpha, qmp, uuid: wanted }] });
  await refused(t, hypervisor.attachments(never), 'HostUnavailable', qmp, uuid, wanted, 'VM alpha');
});

serial('qemu hypervisor: VMs are found by the pattern of their sockets, when they come', async (t) => {
  const at = await place(t);
  await startQemu(t, at, { name: 'alpha' });
  const hypervisor = await openQemus(t, () => '', { vms: [], discovery: at.path('*.qmp') });
  t.deepEqual(hypervisor.vms, [alpha]);
  await startQemu(t, at, { name: 'beta' });
  await writeFile(at.path('file.qmp'), '');
  t.deepEqual(await hypervisor.attachments(never), []);
  t.deepEqual(new Set(hypervisor.vms), new Set([alpha, beta]));
  await attachTo(hypervisor, beta, await diskIn(at, 'disk'));
});

serial(
  'qemu hypervisor: a path that is no socket is refused at once, one where nothing is counts as off',
  async (t) => {
    const at = await place(t);
    await writeFile(at.path('alpha.qmp'), '');
    await refused(
      t,
      openQemus(t, (name) => at.path(`${name}.qmp`)),
      'InvalidRequest',
      'VM alpha',
      at.path('alpha.qmp'),
    );
    const hypervisor = await openQemus(t, (name) => at.path(`${name}.none`));
    t.deepEqual(await hypervisor.attachments(never), []);
    const disk = await diskIn(at, 'disk');
    await refused(t, attachTo(hypervisor, alpha, disk), 'HostUnavailable', 'VM alpha is off', at.path('alpha.none'));
  },
);

serial('qemu service: a streamOptimized VMDK is refused before any QEMU hears of it', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  const ds = at.path('local');
  await mkdir(volumesOf(ds), { recursive: true });
  const disk = await diskIn(at, 'source');
  const made = ['-O', 'vmdk', '-o', 'subformat=streamOptimized', disk.extent.path, `${volumesOf(ds)}/packed.vmdk`];
  await run('qemu-img', 'convert', '-f', 'raw', ...made);
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const commands = await startCommands(t, { datastores: { local: ds }, hypervisor });
  await refused(t, commands.attach('packed'), 'DamagedVolume', 'packed@local', 'a sparse VMDK', 'only flat disks');
  t.deepEqual(await qemu.ask('query-named-block-nodes', { flat: true }), []);
});
