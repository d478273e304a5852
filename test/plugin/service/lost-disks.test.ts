/** Disks that are taken out under their mounts, on a fake guest; the real one is in test/guest. */
import test from 'ava';
import { faultOf } from '../../../common/fault.ts';
import { healthOf } from '../../../plugin/service/health.ts';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { graceMs, mountRoot, type PluginUnderTest, startPlugin } from '../fakes/plugin-under-test.ts';

const patient = new AbortController().signal;

async function mounted(): Promise<{ guest: FakeGuest; plugin: PluginUnderTest }> {
  const guest = new FakeGuest();
  for (const name of ['a@local', 'b@local']) guest.addVolume(name);
  const plugin = await startPlugin(guest);
  for (const name of ['a', 'b']) await plugin.volumes.mount(name, 'x', patient);
  return { guest, plugin };
}

function problems({ view, held, keeper }: PluginUnderTest): readonly string[] {
  const others = {
    address: '',
    isHostConnected: () => true,
    lastHostError: () => undefined,
    locks: () => [],
    now: () => 0,
  };
  return healthOf({ view, held, problems: () => keeper.problems, ...others }).problems;
}

test('lost disk: Get and health tell of it, and Mount and Remove are refused with what to do', async (t) => {
  const { guest, plugin } = await mounted();
  const { volumes } = plugin;
  t.deepEqual(problems(plugin), []);
  guest.takeOut('a@local');
  const sentence = `volume a@local is mounted at ${mountRoot}/local/a, but its disk is not attached to this machine any more; stop what uses it, and it is unmounted by itself`;
  t.like(volumes.get('a').Status, { status: 'detached', problem: sentence, references: 1 });
  t.deepEqual(problems(plugin), [sentence]);
  const fault = faultOf(await t.throwsAsync(volumes.mount('a', 'y', patient)));
  t.is(fault.code, 'DamagedVolume');
  t.is(fault.message, `${sentence}; then start it again`);
  const refusal = await t.throwsAsync(volumes.remove('a', patient));
  t.is(faultOf(refusal).code, 'VolumeInUse');
  t.is(volumes.get('b').Status['problem'], undefined);
  await volumes.mount('b', 'y', patient);
});

test('lost disk: the last Unmount takes the mount away, and the next Mount attaches the disk again', async (t) => {
  const { guest, plugin } = await mounted();
  guest.takeOut('a@local');
  await plugin.volumes.unmount('a', 'x');
  t.is(guest.disks.get('a@local')?.mountedAt, undefined);
  t.deepEqual(problems(plugin), []);
  await plugin.volumes.mount('a', 'y', patient);
  t.true(guest.disks.get('a@local')?.isAttached);
  t.is(plugin.volumes.get('a').Status['problem'], undefined);
  t.deepEqual(guest.violations, []);
});

test('lost disk: a new session with the service tells of it once, and of a user that goes no more', async (t) => {
  const { guest, plugin } = await mounted();
  guest.holders.add('a@local');
  guest.takeOut('a@local');
  await plugin.recover();
  t.is(problems(plugin).length, 1);
  guest.holders.clear();
  await plugin.volumes.unmount('a', 'x');
  await plugin.sweeper.look();
  t.deepEqual(problems(plugin), []);
});

test('lost disk: whose Unmount never comes is let go after the grace time', async (t) => {
  const { guest, plugin } = await mounted();
  guest.takeOut('a@local');
  await plugin.sweeper.look();
  plugin.clock.nowMs += graceMs;
  await plugin.sweeper.look();
  t.is(guest.disks.get('a@local')?.mountedAt, undefined);
  t.is(plugin.held.get('a@local' as never), undefined);
  await plugin.volumes.mount('a', 'y', patient);
});
