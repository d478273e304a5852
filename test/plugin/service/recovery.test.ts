/** A start of the plugin on whatever an earlier one left, on a fake guest; the real one is in test/docker. */
import test from 'ava';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { mountRoot, startPlugin } from '../fakes/plugin-under-test.ts';

const patient = new AbortController().signal;
const path = `${mountRoot}/local/a`;

async function leftMounted(): Promise<FakeGuest> {
  const guest = new FakeGuest();
  guest.addVolume('a@local');
  const { volumes } = await startPlugin(guest);
  await volumes.mount('a', 'x', patient);
  guest.commandsSent.length = 0;
  return guest;
}

test('recovery: what is mounted and referenced is taken up without a command to the service', async (t) => {
  const guest = await leftMounted();
  const { volumes } = await startPlugin(guest);
  t.is(volumes.path('a'), path);
  t.is(volumes.get('a').Status['references'], 1);
  t.deepEqual(guest.commandsSent, ['watch', 'list']);
  await volumes.unmount('a', 'x');
  t.true(guest.disks.get('a@local')?.isFormattedInCatalog);
  t.deepEqual(guest.violations, []);
});

test('recovery: a mount that was taken away under a living container is made again', async (t) => {
  const guest = await leftMounted();
  const disk = guest.disks.get('a@local');
  if (disk) disk.mountedAt = undefined;
  guest.holders.add('a@local');
  const { volumes } = await startPlugin(guest);
  t.is(disk?.mountedAt, path);
  t.is(volumes.get('a').Status['references'], 1);
  guest.holders.clear();
  await volumes.unmount('a', 'x');
  t.false(disk?.isAttached);
  t.deepEqual(guest.violations, []);
});

test('recovery: references to a volume that is neither mounted nor used stand for nothing', async (t) => {
  const guest = await leftMounted();
  const disk = guest.disks.get('a@local');
  if (disk) disk.mountedAt = undefined;
  const plugin = await startPlugin(guest);
  t.false(disk?.isAttached);
  t.deepEqual([...plugin.held.values()], []);
  t.deepEqual(guest.log.at(-1), { do: 'clear', volume: 'a@local' as never });
});

test('recovery: a mount whose disk is not attached here any more is taken away when nobody uses it, else reported', async (t) => {
  for (const isUsed of [false, true]) {
    const guest = await leftMounted();
    const disk = guest.disks.get('a@local');
    if (disk) Object.assign(disk, { isAttached: false, volume: { ...disk.volume, attached: undefined } });
    if (isUsed) guest.holders.add('a@local');
    const { keeper, volumes } = await startPlugin(guest);
    t.is(disk?.mountedAt, isUsed ? path : undefined);
    t.is(keeper.problems.length, isUsed ? 1 : 0);
    if (isUsed) t.regex(keeper.problems[0] ?? '', /volume a@local is mounted at .* not attached to this machine/);
    t.is(volumes.get('a').Name, 'a');
  }
});

test('recovery: where nobody can be seen, an unreferenced mount is held, and the sweeper decides with Docker', async (t) => {
  const guest = await leftMounted();
  guest.log.length = 0;
  Object.assign(guest.holders, { seesOthers: false });
  guest.listedByDocker = ['a'];
  const { sweeper } = await startPlugin(guest);
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  await sweeper.look();
  t.is(guest.disks.get('a@local')?.mountedAt, path);
  guest.listedByDocker = [];
  await sweeper.look();
  t.false(guest.disks.get('a@local')?.isAttached);
});

test('recovery: folders that a killed plugin left on the way up or down are removed, and no others', async (t) => {
  const guest = await leftMounted();
  guest.addVolume('b@local');
  for (const left of ['local/b', 'local/removed', 'gone/c']) guest.folders.add(`${mountRoot}/${left}`);
  await startPlugin(guest);
  t.deepEqual([...guest.folders], [path]);
});

test('recovery: a disk that goes while it is looked for is no problem', async (t) => {
  const guest = await leftMounted();
  const disk = guest.disks.get('a@local');
  if (disk) disk.mountedAt = undefined;
  guest.log.length = 0;
  guest.failNext('find', 'refused');
  const { keeper } = await startPlugin(guest);
  t.deepEqual(keeper.problems, []);
  t.false(disk?.isAttached);
});

test('recovery: a volume that is unmounted while a later session begins is no problem', async (t) => {
  const [reached, gate] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  let isGated = false;
  const guest = new FakeGuest(async (step) => {
    if (!isGated || step !== 'rmdir') return;
    isGated = false;
    reached.resolve(undefined);
    await gate.promise;
  });
  for (const name of ['a@local', 'b@local']) guest.addVolume(name);
  const plugin = await startPlugin(guest);
  await plugin.volumes.mount('a', 'x', patient);
  isGated = true;
  const unmounting = plugin.volumes.unmount('a', 'x');
  await reached.promise;
  const mountsBelow = guest.fileSystems.mountsBelow.bind(guest.fileSystems);
  // As it was just before: the table of that moment must not be believed later.
  const before = [{ target: path, devicePath: 'b@local', fstype: 'ext4' as const, isReadOnly: false }];
  Object.assign(guest.fileSystems, {
    mountsBelow: (root: string) => {
      Object.assign(guest.fileSystems, { mountsBelow });
      return Promise.resolve(root === mountRoot ? before : []);
    },
  });
  guest.holders.add('b@local');
  const recovering = plugin.recover();
  gate.resolve(undefined);
  await unmounting;
  t.deepEqual(await recovering, []);
});

test('recovery: what was found out of a disk is told when it goes, also through a failed detach and a given-up Mount', async (t) => {
  const guest = new FakeGuest();
  guest.addVolume('a@local');
  const { volumes, held, idle } = await startPlugin(guest);
  await volumes.mount('a', 'x', patient);
  guest.failNext('detach', 'request lost');
  await t.throwsAsync(volumes.unmount('a', 'x'));
  guest.failNext('attach', 'reply lost');
  await t.throwsAsync(volumes.mount('a', 'y', patient));
  await idle();
  const disk = guest.disks.get('a@local');
  t.false(disk?.isAttached);
  t.true(disk?.isFormattedInCatalog);
  t.deepEqual([...held.values()], [], 'another disk of this name must not inherit it');
});

test('recovery: an attached disk is not made ready again after a failed detach', async (t) => {
  const guest = new FakeGuest();
  guest.addVolume('a@local');
  const steps: string[] = [];
  const { volumes } = await startPlugin(guest);
  await volumes.mount('a', 'x', patient);
  guest.failNext('detach', 'request lost');
  await t.throwsAsync(volumes.unmount('a', 'x'));
  const signature = guest.fileSystems.signature.bind(guest.fileSystems);
  Object.assign(guest.fileSystems, {
    signature: (...args: Parameters<typeof signature>) => (steps.push('probe'), signature(...args)),
  });
  await volumes.mount('a', 'y', patient);
  t.deepEqual(steps, []);
  t.deepEqual(guest.violations, []);
});

test('recovery: after the end of its session it touches nothing, since what it knows may be old by then', async (t) => {
  const guest = new FakeGuest();
  guest.addVolume('a@local');
  const plugin = await startPlugin(guest);
  await plugin.volumes.mount('a', 'x', patient);
  guest.failNext('detach', 'request lost');
  await t.throwsAsync(plugin.volumes.unmount('a', 'x'));
  guest.commandsSent.length = 0;
  t.deepEqual(await plugin.recoverFrom(guest.hello(), AbortSignal.abort()), []);
  t.deepEqual(guest.commandsSent, []);
  t.deepEqual(await plugin.recoverFrom(guest.hello()), []);
  t.deepEqual(guest.commandsSent, ['detach']);
});

test('recovery: a disk that this machine does not show is let go when nobody can use it, and mounted again later', async (t) => {
  const guest = await leftMounted();
  const disk = guest.disks.get('a@local');
  // As after a restart of the guest.
  if (disk) disk.mountedAt = undefined;
  guest.log.length = 0;
  guest.failNext('find', 'refused');
  const { keeper, volumes } = await startPlugin(guest);
  t.deepEqual(keeper.problems, []);
  t.false(disk?.isAttached);
  t.is(guest.commandsSent.filter((command) => command === 'detach').length, 1);
  await volumes.mount('a', 'y', patient);
  t.is(disk?.mountedAt, path);
  t.deepEqual(guest.violations, []);
});

test('recovery: a disk that this machine does not show is left alone while it may be in use', async (t) => {
  const guest = await leftMounted();
  for (let look = 1; look <= 5; look += 1) guest.failNext('find', 'refused');
  const { keeper } = await startPlugin(guest);
  t.is(keeper.problems.length, 1);
  t.true(guest.disks.get('a@local')?.isAttached);
  t.deepEqual(guest.violations, []);
});
