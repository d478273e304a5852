import { mkdir, readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import { LoopHypervisor } from '../../../esx-service/adapters/loop-hypervisor.ts';
import type { Device } from '../../../native/channel/contract.ts';
import { detachLoop, listLoops } from '../../../native/loop-devices.ts';
import { mount, unmount } from '../../../native/mounts.ts';
import { changed, changedHypervisor, refused, startCommands, startLocal, vms } from '../support/commands.ts';
import { loopsBelow, place, run, volumesOf } from '../support/place.ts';

function loopPath(device: Device): string {
  if (device.kind !== 'loop') throw new Error('no loop device');
  return device.path;
}

async function metadataOf(ds: string, name: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(`${volumesOf(ds)}/${name}.vmdk.json`, 'utf8')) as Record<string, unknown>;
}

test('detach: a device whose number serves another disk by now is left alone', async (t) => {
  const { commands } = await startLocal(t);
  for (const name of ['old', 'new']) await commands.create(name);
  const old = await commands.attach('old');
  await detachLoop(loopPath(old.device));
  const fresh = await commands.attach('new');
  await commands.detach('old');
  const [kept] = (await listLoops()).filter(({ path }) => path === loopPath(fresh.device));
  t.true(kept?.backingPath?.endsWith('new-flat.vmdk'));
  t.is(commands.get('old').attached, undefined);
});

test('detach: what the guest tells is on the disk before the disk is let go, and only written when it is news', async (t) => {
  const at = await place(t);
  const steps: string[] = [];
  const loops = new LoopHypervisor(vms);
  const hypervisor = changedHypervisor(loops, {
    reconfigure(vm, changes, signal) {
      steps.push(...changes.map((change) => change.do));
      return loops.reconfigure(vm, changes, signal);
    },
  });
  const commands = await startCommands(t, {
    datastores: { local: at.path('ds') },
    hypervisor,
    wrap: (datastore) =>
      changed(datastore, {
        saveMetadata: async (record) => {
          await datastore.saveMetadata(record);
          steps.push('saved');
        },
      }),
  });
  await commands.create('db');
  for (let round = 0; round < 2; round += 1) {
    await commands.attach('db');
    await commands.detach('db', { isFormatted: true, fstype: 'ext4' });
  }
  t.deepEqual(steps, ['attach', 'saved', 'detach', 'attach', 'detach']);
  t.true((await metadataOf(at.path('ds'), 'db'))['isFormatted']);
});

test('detach: what it tells survives a restart; false takes nothing back', async (t) => {
  const { commands, restart } = await startLocal(t);
  await commands.create('db');
  await commands.attach('db');
  await commands.detach('db', { isFormatted: true, fstype: 'ext2' });
  await commands.attach('db');
  await commands.detach('db', { isFormatted: false });
  const again = await restart();
  t.like(again.record('db'), { isFormatted: true });
  t.is(again.get('db').fstype, 'ext2');
});

test('detach: a disk made elsewhere gets its side-car then, and keeps its identity', async (t) => {
  const { ds, restart } = await startLocal(t);
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
  const again = await restart();
  const uuid = again.record('foreign')?.volume.uuid;
  await again.attach('foreign');
  await again.detach('foreign', { isFormatted: true, fstype: 'ext4' });
  t.like(await metadataOf(ds, 'foreign'), { isFormatted: true, fstype: 'ext4', uuid });
  t.true(again.record('foreign')?.hasMetadata);
});

test('detach: a device that is still mounted stays attached, and what was told of it is kept', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await commands.create('db');
  const path = loopPath((await commands.attach('db')).device);
  await run('mkfs.ext4', '-q', path);
  const target = at.path('mounted');
  await mkdir(target);
  await mount({ source: path, target, fstype: 'ext4' });
  try {
    await refused(t, commands.detach('db', { isFormatted: true }), 'VolumeInUse', 'db@local', path, 'still mounted');
    t.is(commands.get('db').attached?.vm.name, 'alpha');
    t.true((await metadataOf(ds, 'db'))['isFormatted']);
  } finally {
    await unmount(target);
  }
  await commands.detach('db');
  t.is(commands.get('db').attached, undefined);
  t.true(commands.get('db').allocatedBytes > 0);
});

test('detach: of what is not attached, or not there, succeeds and changes nothing', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('db');
  const { sequence } = commands.service.catalog.view;
  await commands.detach('db', { isFormatted: true });
  await commands.detach('none', { isFormatted: true });
  t.is(commands.service.catalog.view.sequence, sequence);
  t.false(commands.record('db')?.isFormatted);
});

test('detach: a volume whose metadata got lost while it was attached is let go all the same', async (t) => {
  const { at, ds, commands, restart } = await startLocal(t);
  await commands.create('db');
  await commands.attach('db');
  await writeFile(`${volumesOf(ds)}/db.vmdk.json`, 'broken');
  const again = await restart();
  t.regex(again.get('db').problem ?? '', /metadata is not JSON/);
  t.is(again.get('db').attached?.vm.name, 'alpha');
  await again.detach('db', { isFormatted: true });
  t.is(again.get('db').attached, undefined);
  t.is(await loopsBelow(at.folder), 0);
  t.is(await readFile(`${volumesOf(ds)}/db.vmdk.json`, 'utf8'), 'broken', 'what cannot be read is kept');
});
