import test, { type ExecutionContext } from 'ava';
import { Fault } from '../../../common/fault.ts';
import { until } from '../../native/channel/support/waiting.ts';
import { changed, type Commands, refused, startCommands } from '../support/commands.ts';
import { place } from '../support/place.ts';

interface Started {
  readonly commands: Commands;
  /** Names of the disks that are being made and wait at the gate. */
  readonly atWork: readonly string[];
  readonly open: () => void;
}

/** Making a disk whose name begins with "copy" waits at a gate. */
async function start(t: ExecutionContext): Promise<Started> {
  const at = await place(t);
  const gate = Promise.withResolvers<undefined>();
  const atWork: string[] = [];
  const commands = await startCommands(t, {
    datastores: { local: at.path('ds') },
    wrap: (datastore) =>
      changed(datastore, {
        create: async (disk, signal) => {
          if (disk.name.startsWith('copy')) {
            atWork.push(disk.name);
            await gate.promise;
          }
          return await datastore.create(disk, signal);
        },
      }),
  });
  await commands.create('source');
  return { commands, atWork, open: () => gate.resolve(undefined) };
}

const count = 16;
const copies = Array.from({ length: count }, (_, number) => `copy ${number}`);

test('clone: any number of one source are at work side by side', async (t) => {
  const { commands, atWork, open } = await start(t);
  const clones = copies.map((name) => commands.clone(name, 'source'));
  await until(() => atWork.length === count);
  const [state] = commands.service.locks.report().filter(({ key }) => key === 'volume:source@local');
  t.deepEqual([state?.holders.length, state?.waiters.length], [count, 0]);
  open();
  const volumes = await Promise.all(clones);
  t.deepEqual(new Set(volumes.map(({ cloneFrom }) => cloneFrom)), new Set(['source@local']));
  t.is(commands.service.locks.size, 0);
});

test('clone: to remove the source waits for the clones at work, and later clones wait behind it', async (t) => {
  const { commands, atWork, open } = await start(t);
  const first = commands.clone('copy 1', 'source');
  await until(() => atWork.length === 1);
  const removed = commands.remove('source');
  const later = commands.clone('copy 2', 'source');
  const ended: string[] = [];
  for (const [name, work] of Object.entries({ first, removed, later })) {
    void work.then(
      () => ended.push(name),
      () => ended.push(name),
    );
  }
  await until(() => commands.service.locks.waitersOf('volume', 'source@local').length === 2);
  t.is(commands.get('source').name, 'source');
  open();
  t.is((await first).name, 'copy 1');
  await t.notThrowsAsync(removed);
  await refused(t, later, 'VolumeNotFound', 'source@local');
  t.deepEqual(ended, ['first', 'removed', 'later']);
  t.deepEqual(atWork, ['copy 1']);
});

test('clone: a remove of the source whose time is over is busy, and names the clone that holds it', async (t) => {
  const { commands, atWork, open } = await start(t);
  const clone = commands.clone('copy 1', 'source');
  await until(() => atWork.length === 1);
  const timeIsOver = new AbortController();
  const removed = commands.remove('source', {}, { signal: timeIsOver.signal });
  const later = commands.clone('copy 2', 'source');
  timeIsOver.abort(new Fault('DeadlineExceeded', 'too long'));
  await refused(t, removed, 'Busy', 'source@local', 'create copy 1@local as a clone of source@local');
  await until(() => atWork.length === 2);
  open();
  await Promise.all([clone, later]);
  t.is(commands.get('source').name, 'source');
  t.is(commands.service.locks.size, 0);
});

test('create: of many at once of one name, one makes the volume, and the others get it or say what differs', async (t) => {
  const { commands, atWork, open } = await start(t);
  const all = copies.map((_, number) => commands.create('copy', { fstype: number % 4 === 3 ? 'ext2' : 'ext4' }));
  await until(() => atWork.length === 1);
  t.is(commands.service.locks.waitersOf('volume', 'copy@local').length, count - 1);
  open();
  await Promise.all(
    all.map(async (work, number) => {
      if (number % 4 === 3) await refused(t, work, 'VolumeExists', 'copy@local', 'fstype ext4, not ext2');
      else t.deepEqual(await work, commands.get('copy'));
    }),
  );
  t.deepEqual(atWork, ['copy']);
});
