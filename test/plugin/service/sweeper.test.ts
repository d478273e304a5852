/** References against what really uses a volume: the sweeper, Remove and late Unmounts, on a fake guest. */
import test from 'ava';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { graceMs, type PluginUnderTest, startPlugin } from '../fakes/plugin-under-test.ts';

const patient = new AbortController().signal;

async function mounted(): Promise<{ guest: FakeGuest; plugin: PluginUnderTest }> {
  const guest = new FakeGuest();
  guest.addVolume('a@local');
  const plugin = await startPlugin(guest);
  await plugin.volumes.mount('a', 'x', patient);
  return { guest, plugin };
}

/** A look now, and one when the grace time is over. */
async function lookTwice({ sweeper, clock }: PluginUnderTest, between: () => unknown = () => undefined): Promise<void> {
  await sweeper.look();
  await between();
  clock.nowMs += graceMs;
  await sweeper.look();
}

test('sweeper: a volume whose Unmount never came is let go after the grace time, not before', async (t) => {
  const { guest, plugin } = await mounted();
  await plugin.sweeper.look();
  plugin.clock.nowMs += graceMs - 1;
  await plugin.sweeper.look();
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  plugin.clock.nowMs += 1;
  await plugin.sweeper.look();
  t.false(guest.disks.get('a@local')?.isAttached);
  t.deepEqual([...plugin.held.values()], []);
  t.deepEqual(guest.violations, []);
});

test('sweeper: nothing is let go that a process has mounted, or that a running container lists', async (t) => {
  const { guest, plugin } = await mounted();
  guest.holders.add('a@local');
  await lookTwice(plugin);
  guest.holders.clear();
  guest.listedByDocker = ['a'];
  await lookTwice(plugin);
  guest.listedByDocker = ['a@LOCAL'];
  await lookTwice(plugin);
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  guest.listedByDocker = ['b', 'not/a/name'];
  await lookTwice(plugin);
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('sweeper: where no other process can be seen, references stand until Docker says that nobody uses the volume', async (t) => {
  const { guest, plugin } = await mounted();
  Object.assign(guest.holders, { seesOthers: false });
  await lookTwice(plugin);
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  guest.listedByDocker = [];
  await lookTwice(plugin);
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('sweeper: a Mount, a reading or a writing begins the grace time anew', async (t) => {
  const { guest, plugin } = await mounted();
  await lookTwice(plugin, () => plugin.volumes.mount('a', 'y', patient));
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  await lookTwice(plugin, () => (guest.ioCount += 1));
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  await lookTwice(plugin);
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('sweeper: a volume that is in transition is left alone', async (t) => {
  const { guest, plugin } = await mounted();
  await plugin.sweeper.look();
  plugin.clock.nowMs += graceMs;
  const over = Promise.withResolvers<undefined>();
  const options = { signal: patient, what: 'test' };
  const busy = plugin.locks.hold([{ class: 'volume', name: 'a@local', mode: 'write' }], options, () => over.promise);
  await plugin.sweeper.look();
  over.resolve(undefined);
  await busy;
  t.truthy(guest.disks.get('a@local')?.mountedAt);
});

test('sweeper: a volume that proves to be used out of sight is mounted again, with its references', async (t) => {
  const { guest, plugin } = await mounted();
  await plugin.sweeper.look();
  plugin.clock.nowMs += graceMs;
  // The mount tables do not show it, the kernel does.
  Object.assign(guest.holders, { isMountedElsewhere: () => Promise.resolve(false) });
  guest.holders.add('a@local');
  await plugin.sweeper.look();
  t.is(plugin.volumes.path('a'), '/mnt/vmdk/local/a');
  t.is(guest.disks.get('a@local')?.mountedAt, '/mnt/vmdk/local/a');
  t.is([...plugin.held.values()][0]?.references.current.length, 1);
  t.deepEqual(guest.violations, []);
});

test('sweeper: an unmount that failed is tried again without a grace time', async (t) => {
  const { guest, plugin } = await mounted();
  guest.failNext('unmount', 'refused');
  await t.throwsAsync(plugin.volumes.unmount('a', 'x'));
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  await plugin.sweeper.look();
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('sweeper: a disk that a failed Mount could not give back is let go', async (t) => {
  const guest = new FakeGuest();
  guest.addVolume('a@local');
  const plugin = await startPlugin(guest);
  guest.failNext('find', 'refused');
  guest.failNext('detach', 'refused');
  await t.throwsAsync(plugin.volumes.mount('a', 'x', patient));
  t.true(guest.disks.get('a@local')?.isAttached);
  await plugin.sweeper.look();
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('references: those from before Docker started do not keep a volume from removal, unless somebody lives on it', async (t) => {
  const { guest, plugin } = await mounted();
  plugin.volumes.activated();
  guest.holders.add('a@local');
  await t.throwsAsync(plugin.volumes.remove('a', patient), { code: 'VolumeInUse' });
  guest.holders.clear();
  guest.listedByDocker = ['a'];
  await t.throwsAsync(plugin.volumes.remove('a', patient), { code: 'VolumeInUse' });
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  guest.listedByDocker = [];
  await plugin.volumes.remove('a', patient);
  t.false(guest.disks.has('a@local'));
  t.deepEqual(guest.violations, []);
});

test('references: an Unmount of an ID that is not known unmounts nothing under a living container', async (t) => {
  const { guest, plugin } = await mounted();
  guest.holders.add('a@local');
  plugin.held.clearReferences(plugin.view.resolve('a'));
  await plugin.volumes.unmount('a', 'x');
  t.truthy(guest.disks.get('a@local')?.mountedAt, 'a second container may be the holder');
  guest.holders.clear();
  await plugin.volumes.unmount('a', 'y');
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('references: after a live restore, the cp that Docker 20.10 leaves unbalanced is swept when the container has gone', async (t) => {
  const { guest, plugin } = await mounted();
  guest.holders.add('a@local');
  plugin.volumes.activated();
  await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.unmount('a', 'x');
  t.truthy(guest.disks.get('a@local')?.mountedAt, 'the container lives');
  await lookTwice(plugin);
  t.truthy(guest.disks.get('a@local')?.mountedAt);
  guest.holders.clear();
  await lookTwice(plugin);
  t.false(guest.disks.get('a@local')?.isAttached);
});
