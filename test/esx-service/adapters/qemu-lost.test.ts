/** QEMUs, devices and services that go away, on real QEMUs without an operating system. */
import test from 'ava';
import { deadline } from '../../../common/deadline.ts';
import { silentLogger } from '../../../common/logging.ts';
import { never, refused, startCommands } from '../support/commands.ts';
import {
  alpha,
  attachOf,
  attachTo,
  beta,
  detachFrom,
  deviceOf,
  diskIn,
  heldOf,
  nextOff,
} from '../support/hypervisor-contract.ts';
import { place } from '../support/place.ts';
import { openQemus, startQemu } from '../support/qemu.ts';

const { serial } = test;

serial('qemu hypervisor: a killed QEMU is told, and its disk can be attached elsewhere at once', async (t) => {
  const at = await place(t);
  const [first] = [await startQemu(t, at, { name: 'alpha' }), await startQemu(t, at, { name: 'beta' })];
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const disk = await diskIn(at, 'disk');
  const device = await attachTo(hypervisor, alpha, disk);
  const off = nextOff(hypervisor);
  await first.kill();
  t.deepEqual(await off, alpha);
  t.deepEqual(await heldOf(hypervisor, disk), []);
  await attachTo(hypervisor, beta, disk);
  t.like(await heldOf(hypervisor, disk), [{ holder: { vm: beta } }]);
  t.deepEqual(await detachFrom(hypervisor, alpha, disk, device), device);
  await refused(
    t,
    attachTo(hypervisor, alpha, await diskIn(at, 'other')),
    'HostUnavailable',
    'VM alpha is off',
    first.qmp,
  );
});

serial('qemu hypervisor: a VM that was off and came on again is used again, with nothing attached', async (t) => {
  const at = await place(t);
  const former = await startQemu(t, at, { name: 'alpha' });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const disk = await diskIn(at, 'disk');
  await attachTo(hypervisor, alpha, disk);
  const off = nextOff(hypervisor);
  await former.kill();
  await off;
  await startQemu(t, at, { name: 'alpha' });
  t.deepEqual(await hypervisor.attachments(never), []);
  await attachTo(hypervisor, alpha, disk);
  t.like(await heldOf(hypervisor, disk), [{ holder: { vm: alpha } }]);
});

serial('qemu hypervisor: an orderly end of a QEMU is told too', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  await hypervisor.attachments(never);
  const off = nextOff(hypervisor);
  await qemu.ask('quit');
  t.deepEqual(await off, alpha);
});

serial('qemu hypervisor: a device that somebody else takes out is noticed, and its disk is free', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  await startQemu(t, at, { name: 'beta' });
  const warned = Promise.withResolvers<unknown>();
  const logger = {
    ...silentLogger,
    child: () => ({ ...silentLogger, warn: (message: string) => warned.resolve(message) }),
  };
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`), { logger });
  const disk = await diskIn(at, 'disk');
  const device = await attachTo(hypervisor, alpha, disk);
  const [{ qdev: id = '' } = {}] = (await qemu.ask('query-block')) as { qdev?: string }[];
  await qemu.ask('device_del', { id });
  t.regex(String(await warned.promise), /taken out of a VM by somebody else/);
  t.deepEqual(await heldOf(hypervisor, disk), []);
  t.deepEqual(await qemu.ask('query-named-block-nodes', { flat: true }), []);
  t.deepEqual(await detachFrom(hypervisor, alpha, disk, device), device);
  await attachTo(hypervisor, beta, disk);
});

serial('qemu hypervisor: what a service that died left half-made is cleared away by the next', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  const disk = await diskIn(at, 'disk');
  const [dev = 0n, ino = 0n] = disk.extent.diskId.split(':').map(BigInt);
  const file = { driver: 'file', filename: disk.extent.path, locking: 'on' };
  const node = `vmdk-${dev.toString(16)}-${ino.toString(16)}`;
  await qemu.ask('blockdev-add', { 'node-name': node, driver: 'raw', file });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  t.deepEqual(await heldOf(hypervisor, disk), []);
  t.deepEqual(await qemu.ask('query-named-block-nodes', { flat: true }), []);
  await attachTo(hypervisor, alpha, disk);
});

serial('qemu hypervisor: a stopped QEMU answers nothing; what was asked of it is in doubt, then known', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`));
  const disk = await diskIn(at, 'disk');
  await hypervisor.attachments(never);
  qemu.signal('SIGSTOP');
  {
    using limit = deadline(300, 'the answer');
    const asked = hypervisor.reconfigure(alpha, [attachOf(disk)], limit.signal);
    await refused(
      t,
      asked.then(([outcome]) => deviceOf(outcome)),
      'HostUnavailable',
      'VM alpha',
      'nothing was changed',
    );
  }
  qemu.signal('SIGCONT');
  t.deepEqual(await heldOf(hypervisor, disk), []);
  await attachTo(hypervisor, alpha, disk);
});

serial('qemu service: an outside device_del, a kill and a restart of the service are all reconciled', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  await startQemu(t, at, { name: 'beta' });
  const qmpOf = (name: string): string => at.path(`${name}.qmp`);
  const datastores = { local: at.path('local') };
  const first = await openQemus(t, qmpOf);
  const commands = await startCommands(t, { datastores, hypervisor: first });
  await commands.create('db');
  const { device } = await commands.attach('db');
  await refused(t, commands.attach('db', { vm: 'beta' }), 'VolumeInUse', 'VM alpha');
  await commands.end();
  first[Symbol.dispose]();
  const again = await startCommands(t, { datastores, hypervisor: await openQemus(t, qmpOf) });
  t.like(again.get('db').attached, { vm: alpha, device });
  const [{ qdev: id = '' } = {}] = (await qemu.ask('query-block')) as { qdev?: string }[];
  await qemu.ask('device_del', { id });
  await qemu.event('DEVICE_DELETED');
  await again.check();
  t.is(again.get('db').attached, undefined);
  await again.attach('db');
  await qemu.kill();
  await again.attach('db', { vm: 'beta' });
  t.is(again.get('db').attached?.vm.name, 'beta');
});

serial('qemu service: a VM that does not answer holds up no other, and keeps its volumes', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  await startQemu(t, at, { name: 'beta' });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`), { answerLimitMs: 200 });
  const commands = await startCommands(t, { datastores: { local: at.path('local') }, hypervisor });
  for (const name of ['mine', 'theirs']) await commands.create(name);
  const { device } = await commands.attach('theirs', { vm: 'beta' });
  await commands.attach('mine');
  qemu.signal('SIGSTOP');
  t.deepEqual((await commands.attach('theirs', { vm: 'beta' })).device, device);
  await commands.detach('theirs', {}, { vm: 'beta' });
  await refused(t, commands.attach('mine', { vm: 'beta' }), 'VolumeInUse', 'VM alpha');
  qemu.signal('SIGCONT');
  await commands.detach('mine');
  await commands.attach('mine', { vm: 'beta' });
});

serial('qemu hypervisor: a VM that never answered makes it unknown who holds what', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  const hypervisor = await openQemus(t, (name) => at.path(`${name}.qmp`), { answerLimitMs: 200 });
  qemu.signal('SIGSTOP');
  await refused(t, hypervisor.attachments(never), 'HostUnavailable', 'VM alpha does not answer', qemu.qmp);
  qemu.signal('SIGCONT');
  t.deepEqual(await hypervisor.attachments(never), []);
});
