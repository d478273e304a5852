/** QMP that is cut, or does not answer: real QEMUs behind a relay of ours, and FAKE servers where the title says so. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { deadline } from '../../../common/deadline.ts';
import { faultOf } from '../../../common/fault.ts';
import { type LogFields, type Logger, silentLogger } from '../../../common/logging.ts';
import type { QemuHypervisor } from '../../../esx-service/adapters/qemu-hypervisor.ts';
import type { Disk } from '../../../esx-service/ports/hypervisor.ts';
import { never, refused } from '../support/commands.ts';
import { alpha, attachOf, attachTo, deviceOf, diskIn, heldOf } from '../support/hypervisor-contract.ts';
import { type Place, place } from '../support/place.ts';
import { openQemus, type Qemu, startQemu } from '../support/qemu.ts';
import { type QmpRelay, relayTo } from '../support/qmp-relay.ts';

const { serial } = test;

interface Relayed {
  readonly qemu: Qemu;
  readonly relay: QmpRelay;
  readonly hypervisor: QemuHypervisor;
  readonly disk: Disk;
}

async function relayed(t: ExecutionContext, at: Place): Promise<Relayed> {
  const qemu = await startQemu(t, at, { name: 'alpha' });
  const relay = await relayTo(t, qemu.qmp, at.path('relay.qmp'));
  const hypervisor = await openQemus(t, () => relay.path, { vms: [{ vm: alpha, qmp: relay.path }] });
  return { qemu, relay, hypervisor, disk: await diskIn(at, 'disk') };
}

serial('qemu hypervisor: a connection that is cut is made anew, and what is attached is read again', async (t) => {
  const { relay, hypervisor, disk } = await relayed(t, await place(t));
  const device = await attachTo(hypervisor, alpha, disk);
  const told = Promise.withResolvers<undefined>();
  using _ = hypervisor.watchPower(() => told.resolve(undefined));
  relay.cut();
  await told.promise;
  t.is(relay.connections(), 2);
  t.like(await heldOf(hypervisor, disk), [{ device, holder: { vm: alpha } }]);
});

for (const command of ['blockdev-add', 'device_add']) {
  serial(`qemu hypervisor: an attach whose ${command} is not answered is in doubt, then as QEMU says`, async (t) => {
    const { qemu, relay, hypervisor, disk } = await relayed(t, await place(t));
    const kept = relay.keepAnswersTo(command);
    using limit = deadline(500, 'the answer');
    const [outcome] = await hypervisor.reconfigure(alpha, [attachOf(disk)], limit.signal);
    t.is(outcome && 'fault' in outcome ? outcome.fault.class : undefined, 'unsure');
    await kept;
    relay.passAll();
    const isDone = command === 'device_add';
    t.is((await heldOf(hypervisor, disk)).length, isDone ? 1 : 0);
    const nodes = (await qemu.ask('query-named-block-nodes', { flat: true })) as unknown[];
    t.is(nodes.length, isDone ? 2 : 0, 'what was half-made is cleared away');
    await attachTo(hypervisor, alpha, disk);
    t.like(await heldOf(hypervisor, disk), [{ holder: { vm: alpha } }]);
  });
}

serial('qemu hypervisor: a detach that is not answered is in doubt, then as QEMU says', async (t) => {
  const { qemu, relay, hypervisor, disk } = await relayed(t, await place(t));
  const device = await attachTo(hypervisor, alpha, disk);
  const kept = relay.keepAnswersTo('blockdev-del');
  using limit = deadline(500, 'the answer');
  const detached = hypervisor.reconfigure(alpha, [{ do: 'detach', disk, device }], limit.signal);
  await kept;
  relay.passAll();
  relay.cut();
  const [outcome] = await detached;
  t.true(outcome && ('device' in outcome || outcome.fault.class === 'unsure'));
  t.deepEqual(await heldOf(hypervisor, disk), []);
  t.deepEqual(await qemu.ask('query-named-block-nodes', { flat: true }), []);
});

serial('qemu hypervisor: a QMP socket that serves another client says so, and is used once it is free', async (t) => {
  const at = await place(t);
  const { qmp } = await startQemu(t, at, { name: 'alpha' });
  const vms = [{ vm: alpha, qmp }];
  const first = await openQemus(t, () => qmp, { vms });
  const second = await openQemus(t, () => qmp, { vms, greetingLimitMs: 300 });
  const disk = await diskIn(at, 'disk');
  await attachTo(first, alpha, disk);
  await refused(t, second.attachments(never), 'HostUnavailable', qmp, 'one client at a time');
  first[Symbol.dispose]();
  t.like(await heldOf(second, disk), [{ holder: { vm: alpha } }]);
});

async function fakeQmp(t: ExecutionContext, path: string, onConnection: (socket: Socket) => void): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
}

test('qemu hypervisor: a FAKE QMP that greets and then says nothing leaves nothing in doubt that was not sent', async (t) => {
  const at = await place(t);
  const qmp = at.path('fake.qmp');
  const asked: string[] = [];
  await fakeQmp(t, qmp, (socket) => {
    socket.on('data', (data: Buffer) => asked.push(data.toString()));
    socket.write('{"QMP": {"version": {}, "capabilities": []}}\n');
  });
  const hypervisor = await openQemus(t, () => qmp, { vms: [{ vm: alpha, qmp }], greetingLimitMs: 200 });
  const attached = hypervisor.reconfigure(alpha, [attachOf(await diskIn(at, 'disk'))], never);
  await refused(
    t,
    attached.then(([outcome]) => deviceOf(outcome)),
    'HostUnavailable',
    'VM alpha',
    qmp,
  );
  t.false(asked.some((line) => line.includes('blockdev')));
});

test('qemu hypervisor: a FAKE socket that speaks another protocol is told apart from a VM that is off', async (t) => {
  const at = await place(t);
  const qmp = at.path('fake.qmp');
  await fakeQmp(t, qmp, (socket) => socket.write('SSH-2.0-OpenSSH\n'));
  const hypervisor = await openQemus(t, () => qmp, { vms: [{ vm: alpha, qmp }] });
  const fault = faultOf(await t.throwsAsync(hypervisor.attachments(never)));
  t.is(fault.code, 'HostUnavailable');
  t.regex(fault.message, /fake\.qmp.*does not speak QMP/);
});

/** Of a VM with the vsock address 7. */
function answerAsQemu(socket: Socket): void {
  const answers: Readonly<Record<string, unknown>> = {
    'query-uuid': { UUID: '6c1d5f2e-8a4b-4c3d-9e2f-0a1b2c3d4e5f' },
    'qom-list': [{ name: 'vsock0', type: 'child<vhost-vsock-pci>' }],
    'qom-get': 7,
    'query-block': [],
    'query-named-block-nodes': [],
  };
  socket.write('{"QMP": {"version": {}, "capabilities": []}}\n');
  createInterface(socket).on('line', (line) => {
    const { execute, id } = JSON.parse(line) as { execute: string; id: number };
    socket.write(`${JSON.stringify({ id, return: answers[execute] ?? {} })}\n`);
  });
}

test('qemu hypervisor: of VMs, here FAKES, that have the same vsock address none is let in, and it is told', async (t) => {
  const at = await place(t);
  for (const name of ['web', 'db']) await fakeQmp(t, at.path(`${name}.qmp`), answerAsQemu);
  const warnings: LogFields[] = [];
  const logger: Logger = { ...silentLogger, child: () => logger, warn: (_, fields = {}) => warnings.push(fields) };
  const options = { vms: [], discovery: at.path('*.qmp'), hasContextIds: true, logger };
  const hypervisor = await openQemus(t, () => '', options);
  await hypervisor.attachments(never);
  t.is(hypervisor.vmOfContextId?.(7), undefined);
  t.like(warnings, [{ contextId: 7 }]);
  t.deepEqual((warnings[0]?.['vms'] as string[]).toSorted(), ['db', 'web']);
});

test('qemu hypervisor: a VM that is found is told by the vsock address that its QEMU, here a FAKE, names', async (t) => {
  const at = await place(t);
  await fakeQmp(t, at.path('web.qmp'), answerAsQemu);
  const discovery = at.path('*.qmp');
  const hypervisor = await openQemus(t, () => '', { vms: [], discovery, hasContextIds: true });
  t.is(hypervisor.vmOfContextId?.(7), undefined, 'nobody was asked yet');
  await hypervisor.attachments(never);
  t.deepEqual(hypervisor.vmOfContextId?.(7), { id: 'web', name: 'web' });
  const strict = await openQemus(t, () => '', { vms: [{ vm: alpha, qmp: at.path('web.qmp'), contextId: 8 }] });
  await refused(t, strict.attachments(never), 'HostUnavailable', 'context ID 7, not 8', 'VM alpha');
});
