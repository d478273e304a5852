import test from 'ava';
import { refused, startLocal } from '../support/commands.ts';
import { filesOf } from '../support/place.ts';

test('remove: an attached volume is refused with its holder; a missing one is removed already', async (t) => {
  const { commands, ds } = await startLocal(t);
  await commands.create('db');
  await commands.attach('db', { vm: 'beta' });
  await refused(t, commands.remove('db'), 'VolumeInUse', 'db@local', 'VM beta');
  t.is((await filesOf(ds)).length, 3);
  await commands.detach('db', {}, { vm: 'beta' });
  await commands.remove('db');
  await t.notThrowsAsync(commands.remove('db'));
  await t.notThrowsAsync(commands.remove('none'));
  t.is(commands.service.locks.size, 0);
});
