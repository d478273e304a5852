import { truncate } from 'node:fs/promises';
import test from 'ava';
import { Fault, faultOf } from '../../../common/fault.ts';
import { silentLogger } from '../../../common/logging.ts';
import type { Device } from '../../../native/channel/contract.ts';
import { BlockDevices } from '../../../plugin/adapters/devices.ts';
import { run, scratch } from '../../native/support/scratch.ts';
import { fakeGuest, limitOf } from '../fakes/fake-sysfs.ts';

const mib = 1024 * 1024;

test('a loop device that is there is found', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', mib) });
  using devices = BlockDevices.open({ logger: silentLogger });
  using expected = devices.expect();
  const device: Device = { kind: 'loop', path: loop.path, diskSequence: loop.diskSequence };
  t.is(await expected.find(device, limitOf(t)), loop.path);
});

test('what a device has read and written is counted', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', mib) });
  using devices = BlockDevices.open({ logger: silentLogger });
  const before = devices.ioCount(loop.path);
  await run('dd', `if=${loop.path}`, 'of=/dev/null', 'bs=4096', 'count=1', 'iflag=direct', 'status=none');
  t.true(devices.ioCount(loop.path) > before);
});

test('a device that is gone reads and writes nothing', (t) => {
  using devices = BlockDevices.open({ logger: silentLogger });
  t.is(devices.ioCount('/dev/sd-gone'), 0);
});

test('a loop device that is used again for another disk is not taken for the one meant', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', mib) });
  using devices = BlockDevices.open({ logger: silentLogger });
  using expected = devices.expect();
  const gone = AbortSignal.abort(new Fault('DeadlineExceeded', 'too long'));
  const device: Device = { kind: 'loop', path: loop.path, diskSequence: loop.diskSequence - 1 };
  const fault = faultOf(await t.throwsAsync(expected.find(device, gone)));
  t.is(fault.code, 'DeviceTimeout');
  t.true(fault.message.includes(loop.path));
});

test("a loop device that has no size yet is found when the kernel's own news say that it has one", async (t) => {
  const place = await scratch(t);
  const file = await place.sparseFile('disk', 0);
  const loop = await place.attach({ backingPath: file });
  using devices = BlockDevices.open({ logger: silentLogger });
  using expected = devices.expect();
  const device: Device = { kind: 'loop', path: loop.path, diskSequence: loop.diskSequence };
  const finding = expected.find(device, limitOf(t));
  await truncate(file, mib);
  await run('losetup', '--set-capacity', loop.path);
  t.is(await finding, loop.path);
});

/** Looks once. */
async function seen(devices: BlockDevices, device: Device): Promise<string | undefined> {
  using expected = devices.expect();
  try {
    return await expected.find(device, AbortSignal.abort(new Fault('DeadlineExceeded', 'too long')));
  } catch (error) {
    if (faultOf(error).code !== 'DeviceTimeout') throw error;
    return undefined;
  }
}

test('fake sysfs: a loop device counts with its number and a size only', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  const device: Device = { kind: 'loop', path: '/dev/loop7', diskSequence: 12 };
  t.is(await seen(devices, device), undefined);
  await sysfs.loop(7, 12, 0);
  t.is(await seen(devices, device), undefined);
  await sysfs.loop(7, 11, 8);
  t.is(await seen(devices, device), undefined);
  await sysfs.loop(7, 12, 8);
  t.is(await seen(devices, device), '/dev/loop7');
});

test('fake sysfs: before Linux 5.15 there are no numbers, and the size must do', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.loop(7, undefined, 8);
  t.is(await seen(devices, { kind: 'loop', path: '/dev/loop7', diskSequence: 0 }), '/dev/loop7');
  t.is(await seen(devices, { kind: 'loop', path: '/dev/loop7', diskSequence: 3 }), undefined);
});

for (const [title, named] of [
  ['its full PCI address', { pciSlot: '0000:03:00.0', pciBus: '' }],
  ['its PCI address without the domain, in capitals', { pciSlot: '03:00.0', pciBus: '' }],
  ["its hypervisor's slot number", { pciSlot: '192', pciBus: '' }],
  ['its hypervisor slot number, which counts more than the bus', { pciSlot: '192', pciBus: '15.0' }],
  ['the bridge before it', { pciSlot: '160', pciBus: '16.0' }],
  ['bus and device number', { pciSlot: '0', pciBus: '03' }],
  ['bus with domain and device number', { pciSlot: '0', pciBus: '0000:03' }],
] as const) {
  test(`fake sysfs: a SCSI disk is found by ${title}`, async (t) => {
    const { sysfs, devices } = await fakeGuest(t);
    await sysfs.host(2, 'pci0000:00/0000:00:15.0/0000:02:00.0');
    await sysfs.host(3, 'pci0000:00/0000:00:16.0/0000:03:00.0');
    await sysfs.write('bus/pci/slots/192/address', '0000:03:00\n');
    await sysfs.disk(2, 5, 'sdb');
    t.is(await seen(devices, { kind: 'scsi', ...named, unit: 5 }), undefined);
    await sysfs.disk(3, 5, 'sdc');
    t.is(await seen(devices, { kind: 'scsi', ...named, unit: 5 }), '/dev/sdc');
    t.is(await seen(devices, { kind: 'scsi', ...named, unit: 6 }), undefined);
  });
}

test('fake sysfs: a SCSI disk of virtio is found below its controller', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.host(0, 'pci0000:00/0000:00:04.0/virtio1');
  await sysfs.disk(0, 63, 'sda');
  t.is(await seen(devices, { kind: 'scsi', pciSlot: '00:04.0', pciBus: '', unit: 63 }), '/dev/sda');
  t.is(await seen(devices, { kind: 'scsi', pciSlot: '4', pciBus: '00', unit: 63 }), '/dev/sda');
});

for (const [wwn, wwid, isMeant] of [
  ['0x5000C50015EA71AC', 'naa.5000c50015ea71ac', true],
  ['naa.5000c50015ea71ac', 'naa.5000c50015ea71ac', true],
  ['0x5000c50015ea71ad', 'naa.5000c50015ea71ac', false],
  [undefined, 'naa.5000c50015ea71ac', true],
  ['0x5000c50015ea71ad', '', true],
] as const) {
  test(`fake sysfs: a SCSI disk that shows ${wwid || 'no name'} is ${isMeant ? '' : 'not '}the one named ${wwn ?? 'nothing'}`, async (t) => {
    const { sysfs, devices } = await fakeGuest(t);
    await sysfs.host(2, 'pci0000:00/0000:00:03.0');
    await sysfs.disk(2, 0, 'sda', { wwid });
    const device: Device = { kind: 'scsi', pciSlot: '00:03.0', pciBus: '', unit: 0, ...(wwn !== undefined && { wwn }) };
    t.is(await seen(devices, device), isMeant ? '/dev/sda' : undefined);
  });
}

test('fake sysfs: a SCSI disk without a size is not there yet', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.host(2, 'pci0000:00/0000:00:03.0');
  await sysfs.disk(2, 0, 'sda', { sectors: 0 });
  t.is(await seen(devices, { kind: 'scsi', pciSlot: '00:03.0', pciBus: '', unit: 0 }), undefined);
});
