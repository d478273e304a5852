import { copyFile, rename, unlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import { LoopHypervisor } from '../../../esx-service/adapters/loop-hypervisor.ts';
import { writeLoopLabel } from '../../../esx-service/core/loop-label.ts';
import { writeLock } from '../../../esx-service/service/service.ts';
import { attachLoop, detachLoop } from '../../../native/loop-devices.ts';
import { fullName, parseDatastoreName, parseVolumeName } from '../../../common/names.ts';
import { until } from '../../native/channel/support/waiting.ts';
import {
  changed,
  changedHypervisor,
  type Commands,
  never,
  refused,
  startCommands,
  startLocal,
  vms,
} from '../support/commands.ts';
import { fileOf, filesOf, loopsBelow, mebibyte, place } from '../support/place.ts';

const nameOf = (name: string): ReturnType<typeof fullName> =>
  fullName(parseVolumeName(name), parseDatastoreName('local'));

/** A loop device over the volume's extent that the service did not make. */
async function attachBehind(
  { record }: Commands,
  name: string,
  vmId: string | undefined,
): Promise<{ path: string; diskSequence: number }> {
  const { extent, volume } = record(name) ?? {};
  if (!extent || !volume) throw new Error(`${name} has no disk`);
  const label = vmId === undefined ? {} : { label: writeLoopLabel(vmId, volume.uuid) };
  return attachLoop({ backingPath: extent.path, isReadOnly: false, ...label });
}

test('check: where nothing differs, nothing is found, published, read or locked', async (t) => {
  const at = await place(t);
  let reads = 0;
  let asked = 0;
  const loops = new LoopHypervisor(vms);
  const hypervisor = changedHypervisor(loops, {
    attachments: () => {
      asked += 1;
      return loops.attachments();
    },
  });
  const commands = await startCommands(t, {
    datastores: { local: at.path('ds') },
    hypervisor,
    wrap: (datastore) =>
      changed(datastore, {
        readVolume: (name) => {
          reads += 1;
          return datastore.readVolume(name);
        },
      }),
  });
  for (const name of ['one', 'two', 'three']) await commands.create(name);
  await commands.attach('two');
  const { sequence } = commands.service.catalog.view;
  asked = 0;
  t.deepEqual(await commands.check(), []);
  t.is(commands.service.catalog.view.sequence, sequence);
  t.deepEqual([reads, asked], [0, 1]);
});

test('check: a record whose disk is not attached any more is freed, and another VM can have it', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('db');
  const { device } = await commands.attach('db');
  if (device.kind === 'loop') await detachLoop(device.path, device.diskSequence);
  t.deepEqual(await commands.check(), ['volume db@local was remembered as attached to VM alpha, and is free now']);
  t.is(commands.get('db').attached, undefined);
  t.deepEqual(await commands.check(), []);
});

test('check: a disk that is attached without the catalog knowing is recorded for its VM, which can detach it', async (t) => {
  const { at, commands } = await startLocal(t);
  await commands.create('db');
  const { path } = await attachBehind(commands, 'db', 'beta');
  t.deepEqual(await commands.check(), [
    'volume db@local is attached to VM beta, which was not known and is recorded now',
  ]);
  t.like(commands.get('db').attached, { vm: { name: 'beta' }, device: { kind: 'loop', path } });
  await refused(t, commands.remove('db'), 'VolumeInUse', 'VM beta');
  await commands.detach('db', {}, { vm: 'beta' });
  t.is(await loopsBelow(at.folder), 0);
});

test('check: a disk that something else holds, or that is held twice, is a problem, which goes with its cause', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('db');
  await commands.create('twice');
  const strange = await attachBehind(commands, 'db', undefined);
  const extra = [await attachBehind(commands, 'twice', 'alpha'), await attachBehind(commands, 'twice', 'beta')];
  const found = await commands.check();
  t.is(found.length, 2);
  t.regex(found[0] ?? '', /^volume db@local cannot be used: it is attached by something else, as .*vmdkops check/);
  t.regex(found[1] ?? '', /^volume twice@local cannot be used: it is attached more than once.*vmdkops check/);
  for (const name of ['db', 'twice']) {
    await refused(t, commands.attach(name), 'DamagedVolume', `${name}@local`, 'is attached');
    await refused(t, commands.remove(name), 'DamagedVolume', `${name}@local`, 'is attached');
  }
  for (const { path, diskSequence } of [strange, ...extra]) await detachLoop(path, diskSequence);
  t.deepEqual(await commands.check(), ['volume db@local can be used again', 'volume twice@local can be used again']);
  await t.notThrowsAsync(commands.attach('db'));
});

test('check: a disk of one of our VMs that is of no volume is reported, and left alone', async (t) => {
  const { at, ds, commands } = await startLocal(t);
  await commands.create('db');
  const uuid = commands.record('db')?.volume.uuid;
  const stray = fileOf(ds, 'stray-flat.vmdk');
  await writeFile(stray, Buffer.alloc(mebibyte));
  const label = writeLoopLabel('alpha', uuid ?? (undefined as never));
  const { path } = await attachLoop({ backingPath: stray, isReadOnly: false, label });
  const found = await commands.check();
  t.is(found.length, 1);
  t.true(found[0]?.startsWith(`VM alpha holds ${path}, which is the disk of no volume`), `found: ${found[0]}`);
  t.is(await loopsBelow(at.folder), 1);
});

test('check: volumes that come back are given their holders, without asking the hypervisor for each', async (t) => {
  const at = await place(t);
  const ds = at.path('ds');
  let asked = 0;
  const loops = new LoopHypervisor(vms);
  const hypervisor = changedHypervisor(loops, {
    attachments: () => {
      asked += 1;
      return loops.attachments();
    },
  });
  const commands = await startCommands(t, { datastores: { local: ds }, hypervisor });
  await Promise.all(Array.from({ length: 32 }, (_, number) => commands.create(`v${number}`)));
  const { extent, volume } = commands.record('v7') ?? {};
  await rename(ds, at.path('away'));
  await commands.check();
  const backingPath = extent?.path.replace(ds, at.path('away')) ?? '';
  await attachLoop({
    backingPath,
    isReadOnly: false,
    label: writeLoopLabel('beta', volume?.uuid ?? (undefined as never)),
  });
  await rename(at.path('away'), ds);
  asked = 0;
  await commands.check();
  t.is(commands.get('v7').attached?.vm.name, 'beta');
  t.true(asked <= 3, `asked ${asked} times`);
  await refused(t, commands.attach('v7'), 'VolumeInUse', 'VM beta');
});

test('check: what cannot be asked of the hypervisor is told, and no holder is changed by it', async (t) => {
  const at = await place(t);
  const loops = new LoopHypervisor(vms);
  let answers = true;
  const hypervisor = changedHypervisor(loops, {
    attachments: () => (answers ? loops.attachments() : Promise.reject(new Error('no answer'))),
  });
  const commands = await startCommands(t, { datastores: { local: at.path('ds') }, hypervisor });
  await commands.create('db');
  await commands.attach('db');
  await copyFile(fileOf(at.path('ds'), 'db.vmdk.json'), at.path('kept'));
  answers = false;
  await unlink(fileOf(at.path('ds'), 'db.vmdk.json'));
  const found = await commands.check();
  t.true(found.includes('it is not known what is attached: no answer'));
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  t.regex(commands.get('db').problem ?? '', /metadata .* is missing/);
  answers = true;
  await copyFile(at.path('kept'), fileOf(at.path('ds'), 'db.vmdk.json'));
  t.deepEqual(await commands.check(), ['volume db@local can be used again']);
  t.is(commands.service.doubts.size, 0);
});

// ---- commands at work

test('check: creates, attaches, detaches and removes at work are never taken for differences', async (t) => {
  const { ds, commands } = await startLocal(t);
  const state = { isOver: false };
  const found: string[] = [];
  let checks = 0;
  const work = Promise.all(
    Array.from({ length: 8 }, async (_, lane) => {
      const name = `v${lane}`;
      for (let isLast = false; !isLast;) {
        isLast = checks > 5;
        await commands.create(name, { diskformat: lane % 2 === 0 ? 'thin' : 'zeroedthick', sizeBytes: mebibyte });
        await commands.attach(name);
        await commands.detach(name, { isFormatted: true });
        if (!isLast) await commands.remove(name);
      }
    }),
  ).finally(() => (state.isOver = true));
  while (!state.isOver) {
    found.push(...(await commands.check()));
    checks += 1;
  }
  await work;
  t.deepEqual(
    found.filter((finding) => !finding.includes('was not looked at')),
    [],
  );
  t.deepEqual(await commands.check(), []);
  t.is((await filesOf(ds)).length, 24);
});

test('check: a volume that is busy is skipped and told, holds up no other, and is looked at by the next', async (t) => {
  const { ds, commands } = await startLocal(t);
  const { service } = commands;
  await commands.create('busy');
  await commands.create('db');
  for (const name of ['busy', 'db']) await unlink(fileOf(ds, `${name}-flat.vmdk`));
  const done = Promise.withResolvers<undefined>();
  const held = service.locks.hold([writeLock(nameOf('busy'))], { signal: never, what: 'clone' }, () => done.promise);
  const checked = commands.check();
  await until(() => commands.get('db').problem !== undefined);
  t.is(commands.get('busy').problem, undefined, 'readers do not wait');
  const [first, ...more] = await checked;
  t.regex(first ?? '', /^volume busy@local was not looked at: .*busy with clone/);
  t.is(more.length, 1);
  done.resolve(undefined);
  await held;
  t.regex((await commands.check()).join(), /^volume busy@local cannot be used/);
});
