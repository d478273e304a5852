/** What the plugin's volume operations promise, one by one, on a fake guest (the real one is in test/docker). */
import test from 'ava';
import { Fault, faultOf } from '../../../common/fault.ts';
import { countOf } from '../../../plugin/core/references.ts';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { startPlugin } from '../fakes/plugin-under-test.ts';

const patient = new AbortController().signal;

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'no fault';
  } catch (error) {
    return faultOf(error).code;
  }
}

async function started(
  ...names: string[]
): Promise<{ guest: FakeGuest; plugin: Awaited<ReturnType<typeof startPlugin>> }> {
  const guest = new FakeGuest();
  for (const name of names) guest.addVolume(name);
  const plugin = await startPlugin(guest);
  guest.commandsSent.length = 0;
  return { guest, plugin };
}

test('volumes: each Docker operation sends as many commands as the design allows (moby #43564)', async (t) => {
  const { guest, plugin } = await started();
  const { volumes } = plugin;
  const sent = async (work: () => unknown): Promise<readonly string[]> => {
    guest.commandsSent.length = 0;
    await work();
    return [...guest.commandsSent];
  };
  t.deepEqual(await sent(() => volumes.create('a', {}, patient)), ['create']);
  t.deepEqual(await sent(() => volumes.mount('a', '1', patient)), ['attach']);
  t.deepEqual(await sent(() => volumes.mount('a', '2', patient)), []);
  t.deepEqual(await sent(() => [volumes.get('a'), volumes.list(), volumes.path('a')]), []);
  t.deepEqual(await sent(() => volumes.unmount('a', '1')), []);
  t.deepEqual(await sent(() => volumes.unmount('a', '2')), ['detach']);
  t.deepEqual(await sent(() => volumes.mount('a', '3', patient)), ['attach']);
  t.deepEqual(await sent(() => volumes.unmount('a', '3')), ['detach']);
  t.deepEqual(await sent(() => volumes.remove('a', patient)), ['remove']);
});

test('volumes: a removal says which disk is meant, so that none that was made anew is removed in its place', async (t) => {
  const { guest, plugin } = await started('db@local');
  const uuid = guest.disks.get('db@local')?.volume.uuid;
  await plugin.volumes.remove('db', patient);
  await plugin.volumes.create('db', {}, patient);
  const again = guest.disks.get('db@local')?.volume.uuid;
  await plugin.volumes.remove('db', patient);
  await plugin.volumes.remove('unknown', patient);
  t.deepEqual(guest.removals, [uuid, again, undefined]);
  t.not(uuid, again);
});

test('volumes: short and full name are one volume; two datastores with equal short names are two', async (t) => {
  const { guest, plugin } = await started('a@local', 'a@other');
  const path = await plugin.volumes.mount('a', '1', patient);
  t.is(await plugin.volumes.mount('a@local', '2', patient), path);
  t.is(await plugin.volumes.mount('a@LOCAL', '3', patient), path);
  t.not(await plugin.volumes.mount('a@other', '4', patient), path);
  await plugin.volumes.unmount('a', '2');
  await plugin.volumes.unmount('a@local', '1');
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  await plugin.volumes.unmount('a', '3');
  t.is(guest.disks.get('a@local')?.mountedAt, undefined);
  t.truthy(guest.disks.get('a@other')?.mountedAt);
});

test('volumes: the same mount ID twice needs two Unmounts (docker cp of a running container)', async (t) => {
  const { guest, plugin } = await started('a@local');
  const path = await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.unmount('a', 'x');
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  await plugin.volumes.unmount('a', 'x');
  t.is(guest.disks.get('a@local')?.mountedAt, undefined);
});

test('volumes: an Unmount of an unknown ID succeeds and takes nobody’s reference', async (t) => {
  const { guest, plugin } = await started('a@local');
  const path = await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.unmount('a', 'stranger');
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  await t.notThrowsAsync(plugin.volumes.unmount('never-mounted', 'x'));
});

test('volumes: what somebody else unmounted is mounted again by the next Mount, never answered as it was', async (t) => {
  const { guest, plugin } = await started('a@local');
  const path = await plugin.volumes.mount('a', 'x', patient);
  const disk = guest.disks.get('a@local');
  if (disk) disk.mountedAt = undefined;
  t.is(await plugin.volumes.mount('a', 'y', patient), path);
  t.is(disk?.mountedAt, path);
});

test('volumes: after a handshake a Mount of a known ID replaces it, so a killed dockerd leaks no reference', async (t) => {
  const { guest, plugin } = await started('a@local');
  await plugin.volumes.mount('a', 'x', patient);
  plugin.volumes.activated();
  await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.unmount('a', 'x');
  t.is(guest.disks.get('a@local')?.mountedAt, undefined);
});

test('volumes: after a handshake a Mount of a known ID adds to it while a container lives on it (live-restore and cp)', async (t) => {
  const { guest, plugin } = await started('a@local');
  const path = await plugin.volumes.mount('a', 'x', patient);
  guest.holders.add('a@local');
  plugin.volumes.activated();
  await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.unmount('a', 'x');
  t.is(guest.disks.get('a@local')?.mountedAt, path);
});

test('volumes: a disk that a container still holds is never detached, and goes with a later Unmount', async (t) => {
  const { guest, plugin } = await started('a@local');
  await plugin.volumes.mount('a', 'x', patient);
  guest.holders.add('a@local');
  t.is(await codeOf(plugin.volumes.unmount('a', 'x')), 'VolumeInUse');
  t.true(guest.disks.get('a@local')?.isAttached);
  t.is(await codeOf(plugin.volumes.remove('a', patient)), 'VolumeInUse');
  guest.holders.clear();
  await plugin.volumes.unmount('a', 'x');
  t.false(guest.disks.get('a@local')?.isAttached);
  t.deepEqual(guest.violations, []);
});

test('volumes: Remove of a mounted volume is refused and names its references', async (t) => {
  const { plugin } = await started('a@local');
  await plugin.volumes.mount('a', 'abcdef0123456789', patient);
  const error = await t.throwsAsync(plugin.volumes.remove('a', patient));
  t.is(faultOf(error).code, 'VolumeInUse');
  t.regex(faultOf(error).message, /a@local.*abcdef012345/);
  t.notRegex(faultOf(error).message, /abcdef0123456789/);
});

test('volumes: an attach whose answer was lost is taken back', async (t) => {
  const { guest, plugin } = await started('a@local');
  guest.failNext('attach', 'reply lost');
  t.is(await codeOf(plugin.volumes.mount('a', 'x', patient)), 'OutcomeUnknown');
  t.false(guest.disks.get('a@local')?.isAttached);
  t.deepEqual([...plugin.held.values()], []);
});

test('volumes: a detach that failed after the unmount leaves the volume usable, and shown as not mounted', async (t) => {
  const { guest, plugin } = await started('a@local');
  await plugin.volumes.mount('a', 'x', patient);
  guest.failNext('detach', 'refused');
  t.is(await codeOf(plugin.volumes.unmount('a', 'x')), 'Busy');
  t.is(plugin.volumes.get('a').Mountpoint, '');
  t.is(plugin.volumes.path('a'), '');
  const path = await plugin.volumes.mount('a', 'y', patient);
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  await plugin.volumes.unmount('a', 'y');
  t.false(guest.disks.get('a@local')?.isAttached);
  t.deepEqual(guest.violations, []);
});

test('volumes: an unmount that failed keeps the mount, and the reused ID of the next Mount counts once', async (t) => {
  const { guest, plugin } = await started('a@local');
  const path = await plugin.volumes.mount('a', 'x', patient);
  guest.failNext('unmount', 'refused');
  t.is(await codeOf(plugin.volumes.unmount('a', 'x')), 'DeviceTimeout');
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.unmount('a', 'x');
  t.is(guest.disks.get('a@local')?.mountedAt, undefined);
});

test('volumes: a disk with a foreign signature is refused by name and never formatted', async (t) => {
  const { guest, plugin } = await started();
  const disk = guest.addVolume('a@local');
  disk.signature = 'LVM2_member';
  const error = await t.throwsAsync(plugin.volumes.mount('a', 'x', patient));
  t.is(faultOf(error).code, 'UnexpectedSignature');
  t.regex(faultOf(error).message, /LVM2_member/);
  t.is(disk.timesFormatted, 0);
  t.false(disk.isAttached);
});

test('volumes: a format that was made but not reported is taken up, never made again', async (t) => {
  const { guest, plugin } = await started();
  const disk = guest.addVolume('a@local');
  disk.signature = 'ext4';
  await plugin.volumes.mount('a', 'x', patient);
  t.is(disk.timesFormatted, 0);
  await plugin.volumes.unmount('a', 'x');
  t.true(disk.isFormattedInCatalog);
});

test('volumes: a read-only volume is formatted writable once, and then attached read-only', async (t) => {
  const { guest, plugin } = await started();
  guest.addVolume('a@local', { access: 'read-only' });
  guest.commandsSent.length = 0;
  await plugin.volumes.mount('a', 'x', patient);
  t.deepEqual(guest.commandsSent, ['attach', 'detach', 'attach']);
  t.true([...plugin.held.values()][0]?.disk.isReadOnly);
});

test('volumes: a new plugin process takes up what an earlier one mounted, with its references', async (t) => {
  const { guest, plugin } = await started('a@local', 'b@local', 'c@local');
  const path = await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.mount('a', 'y', patient);
  await plugin.volumes.mount('b', 'z', patient);
  guest.referenceLog.append({ do: 'clear', volume: 'b@local' as never });
  const second = await startPlugin(guest);
  t.is(second.volumes.path('a'), path);
  t.is(countOf([...second.held.values()][0]?.references ?? { current: [], carried: [] }), 2);
  t.false(guest.disks.get('b@local')?.isAttached, 'what nothing references is let go');
  await second.volumes.unmount('a', 'x');
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  await second.volumes.unmount('a', 'y');
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('volumes: with the host gone, reads answer from the last view and say so', async (t) => {
  const guest = new FakeGuest();
  guest.addVolume('a@local');
  let isConnected = true;
  const { volumes } = await startPlugin(guest, { isHostConnected: () => isConnected });
  t.is(volumes.get('a').Status['host'], undefined);
  isConnected = false;
  t.regex(String(volumes.get('a').Status['host']), /unreachable/);
  t.regex(volumes.list(), /"Name":"a"/);
});

test('volumes: Get says not found only when that is certain', async (t) => {
  const { guest, plugin } = await started();
  t.throws(() => plugin.volumes.get('a'), { message: /does not exist/ });
  t.throws(() => plugin.volumes.get('a@nowhere'), { code: 'VolumeNotFound' });
  guest.onEvent = () => undefined;
  guest.failNext('create', 'reply lost');
  guest.failNext('get', 'reply lost');
  t.is(await codeOf(plugin.volumes.create('a', {}, patient)), 'OutcomeUnknown');
  t.throws(() => plugin.volumes.get('a'), { message: /may or may not exist/ });
  await plugin.recover();
  t.is(plugin.volumes.get('a').Name, 'a');
});

test('volumes: Get echoes the name as asked, and List shows it as its creator typed it', async (t) => {
  const { guest, plugin } = await started('a@local', 'b@other');
  guest.addVolume('c@local', { isNamedInFull: true });
  t.is(plugin.volumes.get('a@local').Name, 'a@local');
  t.is(plugin.volumes.get('a').Name, 'a');
  const names = (JSON.parse(plugin.volumes.list()) as { Volumes: { Name: string }[] }).Volumes.map(({ Name }) => Name);
  t.deepEqual(names, ['a', 'b@other', 'c@local']);
});

test('volumes: a caller that hung up before its turn gets no reference', async (t) => {
  const { guest, plugin } = await started('a@local');
  const caller = new AbortController();
  caller.abort(new Fault('Cancelled', 'the caller hung up'));
  t.is(await codeOf(plugin.volumes.mount('a', 'x', caller.signal)), 'Cancelled');
  t.deepEqual(guest.commandsSent, []);
});

test('volumes: create refuses a file system that this machine cannot make, and lists those that it can', async (t) => {
  const { plugin } = await started();
  const error = await t.throwsAsync(plugin.volumes.create('a', { fstype: 'xfs', size: '1gb' }, patient));
  t.is(faultOf(error).code, 'InvalidOption');
  t.regex(faultOf(error).message, /xfs.*ext4/);
});

test('volumes: the device is listened for before the attach goes out, and no other volume waits for it (containerd #8617, #9103)', async (t) => {
  const order: string[] = [];
  const held = Promise.withResolvers<undefined>();
  const guest = new FakeGuest(async (step) => {
    order.push(step);
    if (step === 'find' && order.filter((each) => each === 'find').length === 1) await held.promise;
  });
  for (const name of ['a@local', 'b@local']) guest.addVolume(name);
  const { volumes } = await startPlugin(guest);
  order.length = 0;
  const first = volumes.mount('a', 'x', patient);
  await volumes.mount('b', 'y', patient);
  t.deepEqual(order.slice(0, 2), ['listen', 'attach goes out']);
  t.is(guest.disks.get('a@local')?.mountedAt, undefined);
  t.regex(volumes.list(), /"Name":"a"/);
  held.resolve(undefined);
  t.is(await first, '/mnt/vmdk/local/a');
});

test('volumes: recovery reports a volume whose state is in doubt, and does nothing to it', async (t) => {
  const { guest, plugin } = await started();
  const session = { ...guest.hello(), attached: ['ghost@local'] };
  t.deepEqual(await plugin.recoverFrom(session), []);
  plugin.view.doubt(plugin.view.resolve('ghost'));
  const problems = await plugin.recoverFrom(session);
  t.deepEqual(problems, ['volume ghost@local may or may not exist: its last change was not answered']);
  t.deepEqual(guest.commandsSent, []);
});
