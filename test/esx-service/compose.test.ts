import { access, stat } from 'node:fs/promises';
import test from 'ava';
import { faultOf } from '../../common/fault.ts';
import { silentLogger } from '../../common/logging.ts';
import { startService } from '../../esx-service/compose.ts';
import { serviceConfigSchema } from '../../esx-service/config.ts';
import { ChannelClient } from '../../native/channel/client.ts';
import type { ChannelEvent, Reply } from '../../native/channel/contract.ts';
import { listLoops } from '../../native/loop-devices.ts';
import { never, refused } from './support/commands.ts';
import { mebibyte, place } from './support/place.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { clientsOf, configIn, startRunning } from './support/running.ts';

test('service: who the VM is comes from its socket, and short names are on its own default datastore', async (t) => {
  const at = await place(t);
  const { client, service } = await startRunning(t, at);
  const [alpha, beta] = [client('alpha'), client('beta')];
  t.like((await alpha.call('create', emptyDisk('db'), never)).volume, { datastore: 'local', createdBy: 'alpha' });
  t.like((await beta.call('create', emptyDisk('db'), never)).volume, { datastore: 'spare', createdBy: 'beta' });
  await beta.call('attach', { name: 'db@local' }, never);
  await refused(t, alpha.call('attach', { name: 'db' }, never), 'VolumeInUse', 'db@local', 'VM beta');
  t.deepEqual(service.status().vms, [
    { name: 'alpha', attached: [] },
    { name: 'beta', attached: ['db@local'] },
  ]);
});

test('service: hello says who, where and what is attached', async (t) => {
  const at = await place(t);
  const { client, service } = await startRunning(t, at);
  const greeted = Promise.withResolvers<Reply<'hello'>>();
  const first = client('beta');
  await first.call('create', emptyDisk('db'), never);
  await first.call('attach', { name: 'db' }, never);
  client('beta', { onSession: ({ hello }) => greeted.resolve(hello) });
  const { serviceVersion, ...hello } = await greeted.promise;
  t.deepEqual(hello, {
    version: 3,
    vm: { id: 'beta', name: 'beta' },
    instanceId: service.status().instanceId,
    defaultDatastore: 'spare',
    datastores: ['local', 'spare'],
    attached: ['db@spare'],
  });
  t.is(serviceVersion, service.status().version);
});

test('service: a guest that watches is told what others do, and pages agree with the events before them', async (t) => {
  const at = await place(t);
  const { client } = await startRunning(t, at);
  const events: ChannelEvent[] = [];
  const done = Promise.withResolvers<undefined>();
  const watcher = client('alpha', {
    onEvent: (event) => {
      events.push(event);
      if (event.kind === 'removed') done.resolve(undefined);
    },
  });
  t.deepEqual(await watcher.call('watch', {}, never), { sequence: 0 });
  const other = client('beta');
  const work = Array.from({ length: 30 }, (_, number) => other.call('create', emptyDisk(`v${number}`), never));
  const pages: [number, number][] = [];
  for (let round = 0; round < 20; round += 1) {
    const { volumes } = await watcher.call('list', { limit: 1000 }, never);
    pages.push([volumes.length, events.length]);
  }
  await Promise.all(work);
  await other.call('attach', { name: 'v0' }, never);
  await other.call('detach', { name: 'v0', isFormatted: false, isClonePrepared: false }, never);
  await other.call('remove', { name: 'v0' }, never);
  await done.promise;
  for (const [volumes, seen] of pages) t.is(volumes, seen);
  t.deepEqual(
    events.map(({ sequence }) => sequence),
    events.map((_, index) => index + 1),
  );
  const attachments = events
    .slice(-3)
    .map((event) => (event.kind === 'changed' ? event.volume.attached?.vm.name : event.name));
  t.deepEqual(attachments, ['beta', undefined, 'v0']);
});

test('service: lists come in pages, in order of full names', async (t) => {
  const at = await place(t);
  const { client } = await startRunning(t, at);
  const alpha = client('alpha');
  for (const name of ['c', 'a', 'b@spare', 'b']) await alpha.call('create', emptyDisk(name), never);
  const first = await alpha.call('list', { limit: 3 }, never);
  t.deepEqual(
    first.volumes.map(({ name, datastore }) => `${name}@${datastore}`),
    ['a@local', 'b@local', 'b@spare'],
  );
  const second = await alpha.call('list', { limit: 3, after: first.next }, never);
  t.deepEqual(
    second.volumes.map(({ name }) => name),
    ['c'],
  );
  t.is(second.next, undefined);
});

test('service: what is attached stays attached over its end, and the next one knows it', async (t) => {
  const at = await place(t);
  const { client, service } = await startRunning(t, at);
  const alpha = client('alpha');
  await alpha.call('create', emptyDisk('db'), never);
  const { device } = await alpha.call('attach', { name: 'db' }, never);
  await service.close();
  await service.close();
  for (const name of ['alpha', 'beta', 'admin'])
    await t.throwsAsync(access(at.path(`${name}.sock`)), { code: 'ENOENT' });
  const loops = await listLoops();
  t.true(loops.some(({ path }) => device.kind === 'loop' && path === device.path));
  await startRunning(t, at);
  t.deepEqual((await alpha.call('get', { name: 'db' }, never)).volume.attached?.device, device);
  await alpha.call('detach', { name: 'db', isFormatted: false, isClonePrepared: false }, never);
  t.is((await alpha.call('get', { name: 'db' }, never)).volume.attached, undefined);
});

test('service: a create at work when it is closed ends, one way or the other, and nothing half-made is left', async (t) => {
  const at = await place(t);
  const { client, service } = await startRunning(t, at);
  const alpha = client('alpha');
  const creates = Array.from({ length: 20 }, (_, number) => alpha.call('create', emptyDisk(`v${number}`), never));
  await creates[0];
  await service.close();
  const { service: next } = await startRunning(t, at);
  t.deepEqual(next.status().leftovers, []);
  // The client repeats what was not answered, with the same keys.
  await Promise.all(creates);
  t.is(next.status().datastores[0]?.volumes, 20);
});

test('service: a second one on the same datastore is refused, and takes no socket', async (t) => {
  const at = await place(t);
  await startRunning(t, at);
  const second = serviceConfigSchema.parse({
    datastores: { mine: at.path('local') },
    vms: [{ name: 'gamma', socket: at.path('gamma.sock') }],
    adminSocket: at.path('other.sock'),
  });
  const fault = faultOf(await t.throwsAsync(startService(second, { logger: silentLogger })));
  t.is(fault.code, 'Busy');
  t.true(fault.message.includes(at.path('local')));
  await t.throwsAsync(access(at.path('gamma.sock')), { code: 'ENOENT' });
});

test('service: one folder under two datastore names is refused', async (t) => {
  const at = await place(t);
  const config = serviceConfigSchema.parse({
    ...configIn(at),
    datastores: { local: at.path('one'), spare: at.path('one') },
  });
  await refused(t, startService(config, { logger: silentLogger }), 'Busy', at.path('one'));
  await t.throwsAsync(access(at.path('alpha.sock')), { code: 'ENOENT' });
});

test('service: a missing folder is made for whoever embeds it, and refused to the daemon', async (t) => {
  const at = await place(t);
  const config = serviceConfigSchema.parse(configIn(at));
  const daemon = startService(config, { logger: silentLogger, createsFolders: false });
  await refused(t, daemon, 'InvalidRequest', 'datastores.local', at.path('local'), 'does not exist');
  await t.throwsAsync(access(at.path('local')), { code: 'ENOENT' });
  await (await startService(config, { logger: silentLogger })).close();
  t.true((await stat(at.path('local'))).isDirectory());
});

test('service: the sockets are for their owner only', async (t) => {
  const at = await place(t);
  const { socketOf, adminSocket } = await startRunning(t, at);
  for (const path of [socketOf('alpha'), adminSocket]) t.is((await stat(path)).mode & 0o777, 0o600);
});

// ---- version 2

test('version 2: create, get, list and remove answer as the archived product did', async (t) => {
  const at = await place(t);
  const { askV2, client } = await startRunning(t, at);
  t.is(await askV2('alpha', 'create', 'db', { size: '8mb', fstype: 'ext4' }), null);
  t.is(await askV2('alpha', 'create', 'db', { size: '8mb', fstype: 'ext4' }), null);
  await askV2('beta', 'create', 'other', { size: '1gb', diskformat: 'thin', access: 'read-only' });
  const { created, ...status } = (await askV2('alpha', 'get', 'db')) as Record<string, unknown>;
  t.deepEqual(status, {
    'created by VM': 'alpha',
    status: 'detached',
    capacity: { size: '8MB', allocated: '0B' },
    datastore: 'local',
    fstype: 'ext4',
    diskformat: 'thin',
    access: 'read-write',
    'attach-as': 'independent_persistent',
    'clone-from': 'None',
  });
  t.regex(String(created), /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/);
  t.deepEqual(await askV2('alpha', 'list'), [
    { Name: 'db@local', Attributes: {} },
    { Name: 'other@spare', Attributes: {} },
  ]);
  await client('beta').call('attach', { name: 'db@local' }, never);
  t.like(await askV2('alpha', 'get', 'db'), { status: 'attached', 'attached to VM': 'beta' });
  t.is(await askV2('alpha', 'remove', 'other@spare'), null);
  t.is(await askV2('alpha', 'remove', 'other@spare'), null);
});

test('version 2: a failure is its sentence', async (t) => {
  const at = await place(t);
  const { askV2 } = await startRunning(t, at);
  t.deepEqual(await askV2('alpha', 'get', 'none'), { Error: 'volume none@local does not exist' });
  const { Error: options } = (await askV2('alpha', 'create', 'db', { color: 'red' })) as { Error: string };
  t.regex(options, /unknown option "color"; valid options are size/);
  await askV2('alpha', 'create', 'db', { size: '8mb' });
  const { Error: exists } = (await askV2('alpha', 'create', 'db', { size: '9mb' })) as { Error: string };
  t.regex(exists, /db@local exists with size 8MB, not 9MB/);
});

test('version 2: attach says why it cannot be, and leaves nothing attached; detach succeeds', async (t) => {
  const at = await place(t);
  const { askV2, service } = await startRunning(t, at);
  await askV2('alpha', 'create', 'db', { size: '8mb' });
  const { Error: sentence } = (await askV2('alpha', 'attach', 'db')) as { Error: string };
  t.regex(sentence, /volume db cannot be attached: hypervisor 'loop' has no PCI addresses/);
  t.deepEqual(service.status().vms[0]?.attached, []);
  t.is(await askV2('alpha', 'detach', 'db'), null);
});

test('version 2: a clone by options is a clone', async (t) => {
  const at = await place(t);
  const { askV2, client } = await startRunning(t, at);
  await askV2('beta', 'create', 'db', { size: '8mb' });
  t.is(await askV2('beta', 'create', 'copy@local', { 'clone-from': 'db', size: '16mb' }), null);
  const { volume } = await client('alpha').call('get', { name: 'copy' }, never);
  t.like(volume, { cloneFrom: 'db@spare', sizeBytes: 16 * mebibyte, isNamedInFull: true });
});

test('service: a client that comes before the service is served once it is there', async (t) => {
  const at = await place(t);
  const early = clientsOf(t, at).client('alpha');
  t.true(early instanceof ChannelClient);
  const created = early.call('create', emptyDisk('db'), never);
  await startRunning(t, at);
  t.is((await created).volume.name, 'db');
});
