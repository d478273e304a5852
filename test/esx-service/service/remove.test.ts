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

test('remove: a volume that was made anew since its remover saw it is left alone', async (t) => {
  const { commands, ds } = await startLocal(t);
  const { uuid } = await commands.create('db');
  await commands.remove('db', { uuid });
  await t.notThrowsAsync(commands.remove('db', { uuid }), 'it is removed already');
  const again = await commands.create('db');
  t.not(again.uuid, uuid);
  await refused(t, commands.remove('db', { uuid }), 'VolumeReplaced', 'db@local', 'made under its name');
  t.is((await filesOf(ds)).length, 3);
  await commands.remove('db', { uuid: again.uuid });
  t.is(commands.record('db'), undefined);
});
