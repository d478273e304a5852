import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { LoopHypervisor } from '../../../esx-service/adapters/loop-hypervisor.ts';
import type { Device } from '../../../native/channel/contract.ts';
import { attachLoop, detachLoop } from '../../../native/loop-devices.ts';
import { changedHypervisor, refused, startCommands, startLocal, vms } from '../support/commands.ts';
import { loopsBelow, mebibyte, place, run, volumesOf } from '../support/place.ts';

function loopPath(device: Device): string {
  if (device.kind !== 'loop') throw new Error('no loop device');
  return device.path;
}

test('attach: the reply has all that a mount needs, and the device has the disk’s size', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('db', { mountOptions: ['noatime'], root: { uid: 5 } });
  const reply = await commands.attach('db');
  t.like(reply, { isFormatted: false, isFreshClone: false, isReadOnly: false, root: { uid: 5 } });
  t.like(reply.volume, { fstype: 'ext4', access: 'read-write', mountOptions: ['noatime'] });
  t.deepEqual(reply.volume.attached, { vm: { id: 'alpha', name: 'alpha' }, device: reply.device });
  t.is((await run('blockdev', '--getsize64', loopPath(reply.device))).trim(), String(8 * mebibyte));
});

test('attach: repeated by its holder it gives the same device', async (t) => {
  const { at, commands } = await startLocal(t);
  await commands.create('db');
  t.deepEqual((await commands.attach('db')).device, (await commands.attach('db')).device);
  t.is(await loopsBelow(at.folder), 1);
});

test('attach: a disk that one VM holds is refused to another with its name, until it is let go', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('db');
  await commands.attach('db');
  await refused(t, commands.attach('db', { vm: 'beta' }), 'VolumeInUse', 'db@local', 'VM alpha');
  await commands.detach('db', {}, { vm: 'beta' });
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  await commands.detach('db');
  t.is((await commands.attach('db', { vm: 'beta' })).volume.attached?.vm.name, 'beta');
});

test('attach: of twenty at once from two VMs, one VM gets the disk, through one device', async (t) => {
  const { at, commands } = await startLocal(t);
  await commands.create('db');
  const vmsInTurn = Array.from({ length: 20 }, (_, number) => vms[number % 2]?.id ?? '');
  const results = await Promise.allSettled(vmsInTurn.map((vm) => commands.attach('db', { vm })));
  t.is(results.filter(({ status }) => status === 'fulfilled').length, 10);
  t.is(await loopsBelow(at.folder), 1);
  t.is(commands.service.locks.size, 0);
});

test('attach: who holds what is known after a restart from the kernel alone', async (t) => {
  const { commands, restart } = await startLocal(t);
  for (const name of ['db', 'free']) await commands.create(name);
  const { device } = await commands.attach('db', { vm: 'beta' });
  const again = await restart();
  t.deepEqual(again.get('db').attached, { vm: { id: 'beta', name: 'beta' }, device });
  t.is(again.get('free').attached, undefined);
  await refused(t, again.attach('db'), 'VolumeInUse', 'VM beta');
  await again.detach('db', {}, { vm: 'beta' });
  t.is(again.get('db').attached, undefined);
});

test('attach: a disk that something else attached cannot be used and is left alone', async (t) => {
  const { at, ds, commands, restart } = await startLocal(t);
  await commands.create('db');
  const { path } = await attachLoop({ backingPath: `${volumesOf(ds)}/db-flat.vmdk`, isReadOnly: false });
  const again = await restart();
  t.regex(again.get('db').problem ?? '', new RegExp(`by something else, as ${path}`));
  for (const work of [again.attach('db'), again.remove('db'), again.clone('copy', 'db')]) {
    await refused(t, work, 'DamagedVolume', 'db@local', path);
  }
  t.is(await loopsBelow(at.folder), 1);
});

test('attach: a disk of a VM that is no longer configured says so', async (t) => {
  const { ds, commands } = await startLocal(t);
  await commands.create('db');
  await commands.attach('db', { vm: 'beta' });
  await commands.end();
  const again = await startCommands(t, { datastores: { local: ds }, hypervisor: new LoopHypervisor(vms.slice(0, 1)) });
  t.regex(again.get('db').problem ?? '', /to a VM that is not configured; .*losetup -d/);
});

test('attach: a device that somebody took away behind our back is attached anew, also for another VM', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('db');
  const first = await commands.attach('db');
  await detachLoop(loopPath(first.device));
  const second = await commands.attach('db');
  t.notDeepEqual(second.device, first.device);
  await detachLoop(loopPath(second.device));
  t.is((await commands.attach('db', { vm: 'beta' })).volume.attached?.vm.name, 'beta');
});

test('attach: given up while it is under way, it leaves nothing attached', async (t) => {
  const at = await place(t);
  const giveUp = new AbortController();
  const loops = new LoopHypervisor(vms);
  const hypervisor = changedHypervisor(loops, {
    async reconfigure(vm, changes, signal) {
      const outcomes = await loops.reconfigure(vm, changes, signal);
      giveUp.abort(new Fault('Cancelled', 'enough'));
      return outcomes;
    },
  });
  const commands = await startCommands(t, { datastores: { local: at.path('ds') }, hypervisor });
  await commands.create('db');
  await refused(t, commands.attach('db', { signal: giveUp.signal }), 'Cancelled', 'enough');
  t.is(await loopsBelow(at.folder), 0);
  t.is(commands.get('db').attached, undefined);
});

test('attach: a read-only volume is writable until it is formatted, and from then on read-only', async (t) => {
  const { commands, restart } = await startLocal(t);
  await commands.create('db', { access: 'read-only' });
  t.false((await commands.attach('db')).isReadOnly);
  await commands.detach('db', { isFormatted: true });
  const reply = await commands.attach('db');
  t.true(reply.isReadOnly);
  t.is((await run('blockdev', '--getro', loopPath(reply.device))).trim(), '1');
  t.true((await (await restart()).attach('db')).isReadOnly);
});

test('attach: a fresh clone of a read-only volume is writable until it is prepared', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('source', { access: 'read-only' });
  await commands.attach('source');
  await commands.detach('source', { isFormatted: true });
  await commands.clone('copy', 'source', { access: 'read-only' });
  t.like(await commands.attach('copy'), { isReadOnly: false, isFormatted: true, isFreshClone: true });
  await commands.detach('copy', { isClonePrepared: true });
  t.like(await commands.attach('copy'), { isReadOnly: true, isFreshClone: false });
});
