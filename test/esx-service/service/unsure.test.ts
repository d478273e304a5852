import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { Fault } from '../../../common/fault.ts';
import { listenOnSocket } from '../../../common/unix-socket.ts';
import { adminApi } from '../../../esx-service/doors/admin-api.ts';
import { hello } from '../../../esx-service/service/commands/hello.ts';
import { list } from '../../../esx-service/service/commands/list.ts';
import { watch } from '../../../esx-service/service/commands/watch.ts';
import { type ServiceStatus, statusOf } from '../../../esx-service/service/status.ts';
import { until } from '../../native/channel/support/waiting.ts';
import { FakeHypervisor } from '../fakes/fake-hypervisor.ts';
import { type Commands, never, refused, startCommands, vms } from '../support/commands.ts';
import { type Place, place } from '../support/place.ts';

interface Started {
  readonly at: Place;
  readonly commands: Commands;
  readonly hypervisor: FakeHypervisor;
  readonly holder: () => string | undefined;
}

async function start(
  t: ExecutionContext,
  limits: { timeoutMs?: number; askTimeoutMs?: number } = {},
): Promise<Started> {
  const hypervisor = new FakeHypervisor(vms);
  const at = await place(t);
  const commands = await startCommands(t, { datastores: { local: at.path('ds') }, hypervisor, ...limits });
  await commands.create('db');
  return { at, commands, hypervisor, holder: () => hypervisor.holderOf(commands.record('db')?.extent?.diskId) };
}

const lost = new Fault('OutcomeUnknown', 'the connection was lost');

// ---- the hypervisor decides what an unsure change did

test('attach, fake hypervisor: an answer that was lost is asked for, and the attach succeeds with that device', async (t) => {
  const { commands, hypervisor } = await start(t);
  hypervisor.loseNextAnswer();
  const reply = await commands.attach('db');
  t.deepEqual(reply.device, commands.get('db').attached?.device);
  t.deepEqual((await commands.attach('db')).device, reply.device);
  t.is(hypervisor.calls.length, 1);
});

test('attach, fake hypervisor: a request that was lost fails as unsure, and leaves nothing published', async (t) => {
  const { commands, hypervisor } = await start(t);
  const { sequence } = commands.service.catalog.view;
  hypervisor.failNext(lost);
  await refused(t, commands.attach('db'), 'OutcomeUnknown', 'db@local', 'was not attached to VM alpha', 'lost');
  t.is(commands.service.catalog.view.sequence, sequence);
  t.is(commands.service.doubts.size, 0);
  await t.notThrowsAsync(commands.attach('db', { vm: 'beta' }));
});

test('detach, fake hypervisor: an answer that was lost is asked for, and the detach succeeds', async (t) => {
  const { commands, hypervisor, holder } = await start(t);
  await commands.attach('db');
  hypervisor.loseNextAnswer();
  await t.notThrowsAsync(commands.detach('db', { isFormatted: true }));
  t.is(holder(), undefined);
  t.is(commands.get('db').attached, undefined);
  t.true(commands.record('db')?.isFormatted);
});

test('detach, fake hypervisor: a request that was lost fails as unsure, and the volume stays attached', async (t) => {
  const { commands, hypervisor, holder } = await start(t);
  await commands.attach('db');
  hypervisor.failNext(lost);
  await refused(t, commands.detach('db'), 'OutcomeUnknown', 'db@local', 'cannot be detached');
  t.deepEqual([holder(), commands.get('db').attached?.vm.name], ['alpha', 'alpha']);
  await t.notThrowsAsync(commands.detach('db'));
});

// ---- it does not say either

test('attach, fake hypervisor: when asking is not answered either, nothing is published, and the next command asks', async (t) => {
  const { commands, hypervisor, holder } = await start(t, { askTimeoutMs: 20 });
  hypervisor.loseNextAnswer();
  const gate = hypervisor.holdAsking();
  await refused(t, commands.attach('db'), 'OutcomeUnknown', 'not known whether volume db@local', 'VM alpha');
  t.is(commands.get('db').attached, undefined);
  await refused(t, commands.attach('db', { vm: 'beta' }), 'HostUnavailable', 'who holds volume db@local');
  await refused(t, commands.remove('db'), 'HostUnavailable', 'db@local');
  await refused(t, commands.clone('copy', 'db'), 'HostUnavailable', 'db@local');
  await refused(t, commands.detach('db'), 'HostUnavailable', 'db@local');
  gate.open();
  await refused(t, commands.attach('db', { vm: 'beta' }), 'VolumeInUse', 'VM alpha');
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  await commands.detach('db');
  t.is(holder(), undefined);
  t.is(commands.service.doubts.size, 0);
});

test('detach, fake hypervisor: when asking is not answered either, the volume stays attached until it is', async (t) => {
  const { commands, hypervisor } = await start(t, { askTimeoutMs: 20 });
  await commands.attach('db');
  hypervisor.loseNextAnswer();
  const gate = hypervisor.holdAsking();
  await refused(t, commands.detach('db'), 'OutcomeUnknown', 'db@local');
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  gate.open();
  await t.notThrowsAsync(commands.detach('db'));
  t.is(hypervisor.calls.length, 2, 'it asked, and had nothing left to detach');
  t.is(commands.get('db').attached, undefined);
});

// ---- it hangs, and acts late

test('attach, fake hypervisor: while an attach that was given up may still happen, nobody else gets the disk', async (t) => {
  const { commands, hypervisor, holder } = await start(t, { timeoutMs: 20 });
  const gate = hypervisor.hold({ hearsAbort: false });
  await refused(t, commands.attach('db'), 'DeadlineExceeded', 'db@local', 'VM alpha');
  hypervisor.hold().open();
  for (const vm of ['alpha', 'beta']) await refused(t, commands.attach('db', { vm }), 'Busy', 'db@local', 'attach');
  await refused(t, commands.remove('db'), 'Busy', 'VM alpha');
  await commands.create('other');
  await t.notThrowsAsync(commands.attach('other'));
  gate.open();
  await until(() => holder() === 'alpha' && commands.service.reconfigurations.size === 0);
  await refused(t, commands.attach('db', { vm: 'beta' }), 'VolumeInUse', 'VM alpha');
  await t.notThrowsAsync(commands.attach('db'));
});

test('detach, fake hypervisor: while a detach that was given up may still happen, its disk is given to nobody', async (t) => {
  const { commands, hypervisor, holder } = await start(t, { timeoutMs: 20 });
  await commands.attach('db');
  const gate = hypervisor.hold({ hearsAbort: false });
  await refused(t, commands.detach('db'), 'DeadlineExceeded', 'db@local');
  await refused(t, commands.attach('db'), 'Busy', 'db@local', 'detach');
  gate.open();
  await until(() => holder() === undefined && commands.service.reconfigurations.size === 0);
  await t.notThrowsAsync(commands.attach('db', { vm: 'beta' }));
});

// ---- nobody else waits

test('reads, fake hypervisor: all are answered from memory while it answers nothing at all', async (t) => {
  const { at, commands, hypervisor } = await start(t);
  const { service } = commands;
  await commands.attach('db');
  const gates = [hypervisor.hold(), hypervisor.holdAsking()];
  const hanging = [commands.detach('db'), commands.attach('db', { vm: 'beta' })];
  await until(() => hypervisor.atWork.get('alpha') === 1);
  const guest = { vm: { id: 'alpha', name: 'alpha' }, defaultDatastore: 'local' };
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  t.is(list(service, guest, { limit: 10 }).volumes.length, 1);
  t.deepEqual(hello(service, guest, { versions: [3], clientVersion: '', bootId: '', saidAtUs: 0 }).attached, [
    'db@local',
  ]);
  const { sequence } = watch(service, { send: () => undefined, closed: never });
  t.is(sequence, service.catalog.view.sequence);
  const status = (): ServiceStatus => statusOf(service, new Date(), [], undefined);
  await using _socket = await listenOnSocket(
    createServer(
      adminApi({ service, defaultDatastore: 'local', status, check: () => Promise.reject(new Error('not asked')) }),
    ),
    at.path('admin.sock'),
    { mode: 0o600 },
  );
  for (const path of ['/v1/status', '/v1/volumes', '/v1/volumes/db']) {
    const asked = httpGet({ socketPath: at.path('admin.sock'), path, agent: false });
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    t.is(response.statusCode, 200);
    const body = await text(response);
    if (path === '/v1/status') {
      t.deepEqual(
        (JSON.parse(body) as ServiceStatus).locks.map(({ key }) => key),
        ['volume:db@local', 'vm:alpha'],
      );
    }
  }
  await t.notThrowsAsync(commands.create('another'));
  for (const gate of gates) gate.open();
  await Promise.all(hanging);
});

test('attach, fake hypervisor: thirty-two of one VM are at most five calls', async (t) => {
  const { commands, hypervisor } = await start(t);
  const names = Array.from({ length: 32 }, (_, number) => `v${number}`);
  await Promise.all(names.map((name) => commands.create(name)));
  const gate = hypervisor.hold();
  const all = names.map((name) => commands.attach(name));
  await until(() => {
    const waiting = commands.service.locks.waitersOf('vm', 'alpha').length;
    return waiting > 0 && waiting + (hypervisor.calls[0]?.changes.length ?? 0) >= 32;
  });
  gate.open();
  const replies = await Promise.all(all);
  t.is(new Set(replies.map(({ device }) => JSON.stringify(device))).size, 32);
  t.true(hypervisor.calls.length <= 5, `${hypervisor.calls.length} calls`);
  t.is(hypervisor.mostAtOnce, 1);
});

// ---- given up by its caller

test('attach, fake hypervisor: given up while it is under way, it is taken back, unknown outcome or not', async (t) => {
  const { commands, hypervisor, holder } = await start(t);
  for (const isLost of [false, true]) {
    const giveUp = new AbortController();
    hypervisor.beforeAnswer = () => giveUp.abort(new Fault('Cancelled', 'enough'));
    if (isLost) hypervisor.loseNextAnswer();
    await refused(t, commands.attach('db', { signal: giveUp.signal }), 'Cancelled', 'enough');
    t.is(holder(), undefined);
    t.is(commands.get('db').attached, undefined);
  }
  await until(() => commands.service.locks.size === 0);
});

test('attach, fake hypervisor: what cannot be taken back is published as what it is', async (t) => {
  const { commands, hypervisor, holder } = await start(t);
  const giveUp = new AbortController();
  hypervisor.beforeAnswer = () => {
    giveUp.abort(new Fault('Cancelled', 'enough'));
    hypervisor.failNext(new Fault('VolumeInUse', 'it is mounted'));
    hypervisor.beforeAnswer = () => undefined;
  };
  await refused(t, commands.attach('db', { signal: giveUp.signal }), 'Cancelled', 'enough');
  t.deepEqual([holder(), commands.get('db').attached?.vm.name], ['alpha', 'alpha']);
});

test('service, fake hypervisor: a start that cannot learn what is attached ends, and says so', async (t) => {
  const hypervisor = new FakeHypervisor(vms);
  const at = await place(t);
  hypervisor.holdAsking();
  const started = startCommands(t, { datastores: { local: at.path('ds') }, hypervisor, askTimeoutMs: 20 });
  await refused(t, started, 'DeadlineExceeded', 'asking the hypervisor what is attached');
});
