import { open } from 'node:fs/promises';
import test from 'ava';
import { refused, startLocal } from '../support/commands.ts';
import { mebibyte, run, volumesOf } from '../support/place.ts';

test('clone: a copy of a disk that was never formatted is as new, and one that bears data is not', async (t) => {
  const { commands, ds } = await startLocal(t);
  await commands.create('blank', { root: { uid: 5 } });
  await commands.clone('blank copy', 'blank');
  t.like(commands.record('blank copy'), { isFormatted: false, isFreshClone: false, root: { uid: 5 } });
  await commands.create('unreported');
  await using file = await open(`${volumesOf(ds)}/unreported-flat.vmdk`, 'r+');
  await file.write(Buffer.alloc(4096, 1));
  await file.sync();
  await commands.clone('unreported copy', 'unreported');
  t.like(commands.record('unreported copy'), { isFormatted: false, isFreshClone: true });
});

test('clone: of a fresh clone, and of a disk made elsewhere, is a fresh clone', async (t) => {
  const { commands, ds, restart } = await startLocal(t);
  await run(
    'qemu-img',
    'create',
    '-q',
    '-f',
    'vmdk',
    '-o',
    'subformat=monolithicFlat',
    `${volumesOf(ds)}/foreign.vmdk`,
    '2M',
  );
  await commands.create('source');
  await commands.attach('source');
  await commands.detach('source', { isFormatted: true });
  await commands.clone('copy', 'source');
  const again = await restart();
  await again.clone('copy of copy', 'copy');
  t.like(again.record('copy of copy'), { isFormatted: true, isFreshClone: true });
  await again.clone('copy of foreign', 'foreign');
  t.like(again.record('copy of foreign'), { isFormatted: false, isFreshClone: true });
  t.is(again.get('copy of foreign').fstype, undefined);
});

test('clone: an attached source is refused with its holder, and a missing one by name', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('source');
  await commands.attach('source', { vm: 'beta' });
  await refused(t, commands.clone('copy', 'source'), 'VolumeInUse', 'source@local', 'beta');
  await refused(t, commands.clone('copy', 'none'), 'VolumeNotFound', 'none@local');
  t.is(commands.service.locks.size, 0);
});

test('clone: a size below the source’s, or too small for its file system, is refused with both sizes', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('source');
  await refused(
    t,
    commands.clone('copy', 'source', { sizeBytes: 4 * mebibyte }),
    'InvalidOption',
    '4MB',
    '8MB',
    'source@local',
  );
});

test('clone: repeated, it succeeds; of another source, it is a conflict', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('source');
  await commands.create('other');
  const first = await commands.clone('copy', 'source');
  t.deepEqual(await commands.clone('copy', 'source'), first);
  await refused(t, commands.clone('copy', 'other'), 'VolumeExists', 'clone-from source@local, not other@local');
  await refused(t, commands.create('copy'), 'VolumeExists', 'clone-from source@local, not none');
});

test('clone: volumes that clone each other at once do not wait for each other for ever', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('a');
  await commands.create('b');
  const both = await Promise.allSettled([commands.clone('b', 'a'), commands.clone('a', 'b')]);
  t.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.is(commands.service.locks.size, 0);
});
