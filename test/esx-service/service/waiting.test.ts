import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import type { FullName } from '../../../common/names.ts';
import { writeLock } from '../../../esx-service/service/service.ts';
import { changed, refused, startCommands, startLocal } from '../support/commands.ts';
import { place } from '../support/place.ts';

test('catalog: get and list answer while a create holds its volume (moby #31273)', async (t) => {
  const at = await place(t);
  const gate = Promise.withResolvers<undefined>();
  const entered = Promise.withResolvers<undefined>();
  const commands = await startCommands(t, {
    datastores: { local: at.path('ds') },
    wrap: (datastore) =>
      changed(datastore, {
        create: async (disk, signal) => {
          if (disk.name.startsWith('slow')) {
            entered.resolve(undefined);
            await gate.promise;
          }
          return await datastore.create(disk, signal);
        },
      }),
  });
  await commands.create('db');
  const slow = commands.create('slow');
  const clone = commands.clone('slow clone', 'db');
  await entered.promise;
  t.deepEqual(
    commands.service.catalog.page(undefined, 10).volumes.map(({ name }) => name),
    ['db'],
  );
  t.is(commands.get('db').name, 'db');
  t.throws(() => commands.get('slow'), { code: 'VolumeNotFound' });
  await t.notThrowsAsync(commands.create('another'));
  gate.resolve(undefined);
  await Promise.all([slow, clone]);
  t.is(commands.get('slow').name, 'slow');
  t.is(commands.service.locks.size, 0);
});

test('locks: a command that is given up while it waits leaves the queue, and the next one is served', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('db');
  const over = Promise.withResolvers<undefined>();
  const options = { signal: new AbortController().signal, what: 'test' };
  const held = commands.service.locks.hold([writeLock('db@local' as FullName)], options, () => over.promise);
  const giveUp = new AbortController();
  const waiting = commands.attach('db', { signal: giveUp.signal });
  const next = commands.attach('db');
  giveUp.abort(new Fault('Cancelled', 'enough'));
  await refused(t, waiting, 'Cancelled', 'enough');
  over.resolve(undefined);
  await held;
  await t.notThrowsAsync(next);
  t.is(commands.service.locks.size, 0);
});
