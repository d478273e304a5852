import { rename, writeFile } from 'node:fs/promises';
import test from 'ava';
import { DurableFolder } from '../../../common/durable-file.ts';
import { HalfMade } from '../../../esx-service/adapters/half-made.ts';
import { changed, refused, startCommands } from '../support/commands.ts';
import { filesOf, mebibyte, place, run, volumesOf } from '../support/place.ts';

test('create: what it could not take back, since nothing could be deleted, is deleted by the next check or create', async (t) => {
  const at = await place(t);
  const ds = at.path('ds');
  let isShut = true;
  t.teardown(() => run('chattr', '-i', volumesOf(ds)));
  const commands = await startCommands(t, {
    datastores: { local: ds },
    wrap: (datastore) =>
      changed(datastore, {
        // The folder lets nothing be changed any more, from the moment in which its files are published.
        create: async (disk, signal) => {
          const done = datastore.create(disk, signal);
          if (isShut) {
            while ((await filesOf(ds)).length === 0) await Promise.resolve();
            await run('chattr', '+i', volumesOf(ds));
          }
          return done;
        },
      }),
  });
  for (const next of ['check', 'create'] as const) {
    isShut = true;
    const eager = { diskformat: 'eagerzeroedthick', sizeBytes: 256 * mebibyte } as const;
    await refused(t, commands.create('db', eager), 'HostUnavailable', 'volume db', ds, 'EPERM');
    t.true((await filesOf(ds)).length > 0);
    await run('chattr', '-i', volumesOf(ds));
    isShut = false;
    if (next === 'check') t.deepEqual(await commands.check(), []);
    else await commands.create('other');
    t.true((await filesOf(ds)).every((file) => file.startsWith('other')));
  }
});

test('half-made files: a name is only taken from the file that the create gave it to', async (t) => {
  const at = await place(t);
  await using folder = await DurableFolder.open(at.folder);
  const halfMade = new HalfMade();
  t.teardown(() => run('chattr', '-i', at.folder));
  for (const [aside, file] of [
    ['a.tmp', 'a'],
    ['b.tmp', 'b'],
  ] as const) {
    await folder.writeAside(aside, (handle) => handle.writeFile('mine'));
    await folder.publish(aside, file);
  }
  await run('chattr', '+i', at.folder);
  for (const name of ['a', 'b']) {
    await t.throwsAsync(halfMade.remove(folder, `${name}.tmp`, name));
    await halfMade.remove(folder, `${name}.tmp`);
  }
  await t.throwsAsync(halfMade.clear(folder));
  await run('chattr', '-i', at.folder);
  await writeFile(at.path('new'), 'somebody else’s');
  await rename(at.path('new'), at.path('b'));
  await Promise.all([halfMade.clear(folder), halfMade.clear(folder)]);
  t.is((await run('ls', at.folder)).trim(), 'b');
});
