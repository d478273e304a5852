/** The guest's view of the volumes under changes that others make, on a fake service. */
import test from 'ava';
import type { ChannelEvent, CommandName } from '../../../native/channel/contract.ts';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { startPlugin } from '../fakes/plugin-under-test.ts';

test('view: what other guests do is seen without a command', async (t) => {
  const guest = new FakeGuest();
  const plugin = await startPlugin(guest);
  guest.commandsSent.length = 0;
  guest.addVolume('new@local');
  t.is(plugin.volumes.get('new').Name, 'new');
  t.regex(plugin.volumes.list(), /"Name":"new"/);
  t.deepEqual(guest.commandsSent, []);
});

test('view: a gap in the events has the list read again; what was missed is there then, and nothing else changed', async (t) => {
  const guest = new FakeGuest();
  guest.addVolume('gone@local');
  const plugin = await startPlugin(guest);
  const hear = guest.onEvent;
  guest.onEvent = () => undefined;
  guest.disks.delete('gone@local');
  guest.addVolume('missed@local');
  guest.onEvent = hear;
  guest.commandsSent.length = 0;
  guest.addVolume('seen@local');
  t.is(plugin.volumes.get('seen').Name, 'seen', 'meanwhile the view serves on');
  await plugin.keeper.settled();
  t.is(plugin.volumes.get('missed').Name, 'missed');
  t.throws(() => plugin.volumes.get('gone'), { code: 'VolumeNotFound' });
  t.deepEqual(guest.commandsSent, ['watch', 'list'] satisfies CommandName[]);
});

test('view: events without a gap have nothing read', async (t) => {
  const guest = new FakeGuest();
  const plugin = await startPlugin(guest);
  guest.commandsSent.length = 0;
  for (const name of ['a@local', 'b@local', 'c@local']) guest.addVolume(name);
  await plugin.keeper.settled();
  t.deepEqual(guest.commandsSent, []);
});

test('view: a gap while the list is being read makes that reading begin again', async (t) => {
  const events: ChannelEvent[] = [];
  let onList = (): void => undefined;
  const guest = new FakeGuest((step) => {
    if (step === 'list answers') onList();
    return Promise.resolve();
  });
  const plugin = await startPlugin(guest);
  const hear = guest.onEvent;
  onList = () => {
    onList = () => undefined;
    guest.onEvent = (event) => events.push(event);
    guest.addVolume('missed@local');
    guest.onEvent = hear;
    guest.addVolume('late@local');
  };
  guest.commandsSent.length = 0;
  t.deepEqual(await plugin.recover(), []);
  t.is(events.length, 1);
  t.deepEqual(guest.commandsSent, ['watch', 'list', 'watch', 'list'] satisfies CommandName[]);
  t.is(plugin.volumes.get('missed').Name, 'missed');
  t.is(plugin.volumes.get('late').Name, 'late');
});

test('view: it says when it was last known to be true, which stands still while the service is not heard or not yet read', async (t) => {
  const guest = new FakeGuest();
  const plugin = await startPlugin(guest);
  const before = plugin.view.trueAt;
  t.truthy(before);
  let isRead = false;
  const loading = plugin.recover().then(() => (isRead = true));
  plugin.view.confirm();
  t.is(plugin.view.trueAt, before, 'another session is being read');
  await loading;
  t.true(isRead);
  const read = plugin.view.trueAt;
  t.not(read, before);
  plugin.view.confirm();
  t.not(plugin.view.trueAt, read);
});
