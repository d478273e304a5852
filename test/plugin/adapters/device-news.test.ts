/** When the kernel's news of disks make the plugin look for one. */
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Fault, faultOf } from '../../../common/fault.ts';
import type { Uevent } from '../../../native/uevent-records.ts';
import { fakeGuest, limitOf } from '../fakes/fake-sysfs.ts';

function news(action: 'add' | 'remove', devpath: string): Uevent {
  return { action, devpath, subsystem: 'block', properties: new Map() };
}

const loopAdd = news('add', '/devices/virtual/block/loop7');

/** Where the kernel has the disk of unit 0 that `FakeSysfs.host` and `disk` show. */
const placeOfUnit = (unit: number, name: string): string =>
  `/devices/pci0000:00/0000:00:03.0/host2/target2:0:${unit}/2:0:${unit}:0/block/${name}`;

for (const told of [loopAdd, 'overflow'] as const) {
  test(`fake sysfs: a disk that arrives is found at the news of ${told === 'overflow' ? 'lost news' : 'it'}`, async (t) => {
    const guest = await fakeGuest(t);
    using expected = guest.devices.expect();
    const finding = expected.find({ kind: 'loop', path: '/dev/loop7', diskSequence: 12 }, limitOf(t));
    guest.news.tell({ ...loopAdd, subsystem: 'net' });
    await guest.sysfs.loop(7, 12, 8);
    guest.news.tell(told);
    t.is(await finding, '/dev/loop7');
  });
}

/** A time limit that is over when told, and a promise of somebody waiting for it: then the look before has ended. */
function watchedLimit(): {
  readonly signal: AbortSignal;
  readonly isWaitedFor: Promise<void>;
  readonly end: () => void;
} {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (...listener: Parameters<typeof add>): void => {
    add(...listener);
    resolve(undefined);
  };
  return { signal, isWaitedFor: promise, end: () => controller.abort(new Fault('DeadlineExceeded', 'too long')) };
}

for (const [unit, isIts] of [
  [1, true],
  [11, false],
] as const) {
  test(`fake sysfs: the news of unit ${unit} make a SCSI disk of unit 1 ${isIts ? '' : 'not '}looked for`, async (t) => {
    const { sysfs, news: kernel, devices } = await fakeGuest(t);
    await sysfs.host(2, 'pci0000:00/0000:00:03.0');
    using expected = devices.expect();
    const limit = watchedLimit();
    const finding = expected.find({ kind: 'scsi', pciSlot: '00:03.0', pciBus: '', unit: 1 }, limit.signal);
    await limit.isWaitedFor;
    await sysfs.disk(2, 1, 'sdb');
    kernel.tell(news('add', placeOfUnit(unit, isIts ? 'sdb' : 'sdc')));
    limit.end();
    const found = await finding.catch((error: unknown) => faultOf(error).code);
    t.is(found, isIts ? '/dev/sdb' : 'DeviceTimeout');
  });
}

test('fake sysfs: whether a detached disk is gone is not looked for at the news of another', async (t) => {
  const { sysfs, news: kernel, devices } = await fakeGuest(t);
  await sysfs.disk(2, 0, 'sda');
  using leaving = devices.leaving('/dev/sda');
  const limit = watchedLimit();
  const gone = leaving.gone(limit.signal);
  await limit.isWaitedFor;
  await rm(join(sysfs.root, 'class/block/sda'));
  kernel.tell(news('remove', placeOfUnit(1, 'sdaa')));
  limit.end();
  const fault = faultOf(await t.throwsAsync(gone));
  t.is(fault.code, 'DeviceTimeout');
});

test('fake sysfs: news between expect and find are not missed, and none are listened to afterwards (containerd #8617)', async (t) => {
  const guest = await fakeGuest(t);
  const expected = guest.devices.expect();
  await guest.sysfs.loop(7, 12, 8);
  guest.news.tell(loopAdd);
  t.is(await expected.find({ kind: 'loop', path: '/dev/loop7', diskSequence: 12 }, limitOf(t)), '/dev/loop7');
  expected[Symbol.dispose]();
  t.is(guest.news.subscribers.size, 0);
});

for (const isReplaced of [false, true]) {
  test(`fake sysfs: a detached disk is gone when its name is ${isReplaced ? "another disk's" : "nobody's"}`, async (t) => {
    const { sysfs, news: kernel, devices } = await fakeGuest(t);
    await sysfs.host(2, 'pci0000:00/0000:00:03.0');
    await sysfs.disk(2, 0, 'sda');
    using leaving = devices.leaving('/dev/sda');
    const late = AbortSignal.abort(new Fault('DeadlineExceeded', 'too long'));
    const fault = faultOf(await t.throwsAsync(leaving.gone(late)));
    t.is(fault.code, 'DeviceTimeout');
    const gone = leaving.gone(limitOf(t));
    await rename(join(sysfs.root, 'block/sda'), join(sysfs.root, 'former'));
    await rm(join(sysfs.root, 'class/block/sda'));
    if (isReplaced) await sysfs.disk(2, 1, 'sda');
    kernel.tell(news('remove', placeOfUnit(0, 'sda')));
    await t.notThrowsAsync(gone);
  });
}

test('fake sysfs: nobody waits for a loop device to go, as those stay', async (t) => {
  const { sysfs, devices } = await fakeGuest(t);
  await sysfs.loop(7, 12, 8);
  using leaving = devices.leaving('/dev/loop7');
  await t.notThrowsAsync(leaving.gone(limitOf(t)));
});
