import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { encodeFrame } from '../../../native/channel/frame.ts';
import { parseV2Request, v2Device, v2Error, v2List, v2Status } from '../../../native/channel/protocol-v2.ts';
import type { V2Handler } from '../../../native/channel/session.ts';
import { dialRaw, type RawPeer } from './support/raw-peer.ts';
import { openClient, startService, type TestService, vm, volume } from './support/service.ts';

const never = new AbortController().signal;
const attach = { cmd: 'attach', details: { Name: 'db', Opts: null }, version: '2' };
const device = { Unit: '0', ControllerPciSlotNumber: '192', ControllerPciBusNumber: '15.0' };
const scsi = { kind: 'scsi', unit: 0, pciSlot: '192', pciBus: '15.0' } as const;

async function askOnce(service: TestService, message: unknown): Promise<unknown> {
  const peer = await dialRaw(service.path);
  peer.send(message);
  const reply = await peer.next();
  await peer.ended();
  return reply;
}

async function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  setImmediate(resolve, undefined);
  await promise;
}

for (const [what, message, expected] of [
  [
    'all fields',
    { cmd: 'create', details: { Name: 'a', Opts: { size: '1gb' } }, version: '2' },
    { cmd: 'create', name: 'a', options: { size: '1gb' } },
  ],
  ['no options', { cmd: 'get', details: { Name: 'a@ds' }, version: '2' }, { cmd: 'get', name: 'a@ds', options: {} }],
  ['null for options', attach, { cmd: 'attach', name: 'db', options: {} }],
  ['no version', { cmd: 'remove', details: { Name: 'a' } }, { cmd: 'remove', name: 'a', options: {} }],
  [
    'a numeric version',
    { cmd: 'detach', details: { Name: 'a' }, version: 2 },
    { cmd: 'detach', name: 'a', options: {} },
  ],
  [
    'unknown fields',
    { cmd: 'list', details: { Name: '', Extra: 1 }, more: [] },
    { cmd: 'list', name: '', options: {} },
  ],
  ['no details', { cmd: 'list' }, { cmd: 'list', name: '', options: {} }],
] as const) {
  test(`version 2: a request with ${what} is understood`, (t) => {
    t.deepEqual(parseV2Request(message), expected);
  });
}

for (const [what, message, code] of [
  ['another version', { ...attach, version: '1' }, 'ProtocolMismatch'],
  ['no number as version', { ...attach, version: 'two' }, 'ProtocolMismatch'],
  ['an unknown command', { ...attach, cmd: 'format' }, 'InvalidRequest'],
  ['no command', { details: { Name: 'a' } }, 'InvalidRequest'],
  ['options that are no text', { ...attach, details: { Name: 'a', Opts: { size: 1 } } }, 'InvalidRequest'],
  ['a name that is no text', { ...attach, details: { Name: 7 } }, 'InvalidRequest'],
  ['no object', [1], 'InvalidRequest'],
] as const) {
  test(`version 2: a request with ${what} is refused`, (t) => {
    const fault = t.throws(() => parseV2Request(message), { instanceOf: Fault });
    t.is(fault.code, code);
  });
}

test('version 2: replies have the shapes that the archived plugin reads', (t) => {
  t.deepEqual(v2Device(scsi), device);
  t.deepEqual(v2Error(new Fault('VolumeNotFound', 'no such volume')), { Error: 'no such volume' });
  t.deepEqual(v2List(['a@local']), [{ Name: 'a@local', Attributes: {} }]);
  t.throws(() => v2Device({ kind: 'loop', path: '/dev/loop0', diskSequence: 1 }), { instanceOf: Fault });
});

test('version 2: the status of a volume has the archived keys', (t) => {
  const attached = {
    ...volume('a'),
    sizeBytes: 100 * 1024 ** 2,
    allocatedBytes: 2 * 1024 ** 2,
    fstype: 'ext4' as const,
  };
  t.deepEqual(v2Status({ ...attached, attached: { vm, device: scsi } }), {
    'created by VM': 'alpha',
    created: 'Thu Mar  1 09:05:00 2018',
    status: 'attached',
    capacity: { size: '100MB', allocated: '2MB' },
    datastore: 'local',
    diskformat: 'thin',
    access: 'read-write',
    'attach-as': 'independent_persistent',
    'clone-from': 'None',
    fstype: 'ext4',
    'attached to VM': 'alpha',
    attachedVMDevice: device,
  });
  const { status, 'attached to VM': holder } = v2Status(volume('a'));
  t.deepEqual([status, holder], ['detached', undefined]);
});

test('version 2: one command per connection, answered by the bare result, null, or an error', async (t) => {
  const protocolV2: V2Handler = async (session, { cmd, name }) => {
    await turn();
    t.is(session.vm, vm);
    if (cmd === 'attach') return device;
    if (cmd === 'list') return [];
    if (cmd === 'get') throw new Fault('VolumeNotFound', `${name} is not there`);
    if (cmd === 'detach') throw new TypeError('secret');
    return undefined;
  };
  await using service = await startService({ protocolV2 });
  t.deepEqual(await askOnce(service, attach), device);
  t.deepEqual(await askOnce(service, { ...attach, cmd: 'list' }), []);
  t.is(await askOnce(service, { ...attach, cmd: 'remove' }), null);
  t.deepEqual(await askOnce(service, { ...attach, cmd: 'get' }), { Error: 'db is not there' });
  const broken = (await askOnce(service, { ...attach, cmd: 'detach' })) as { Error: string };
  t.false(broken.Error.includes('secret'));
  t.regex(((await askOnce(service, { ...attach, version: '1' })) as { Error: string }).Error, /equal releases/);
  t.regex(((await askOnce(service, 'text')) as { Error: string }).Error, /./);
});

test('version 2: where it is not served, its clients are told to upgrade', async (t) => {
  await using service = await startService();
  t.regex(((await askOnce(service, attach)) as { Error: string }).Error, /upgrade/);
});

test('version 2: a service that is being stopped says so', async (t) => {
  const gate = Promise.withResolvers<undefined>();
  const started = Promise.withResolvers<undefined>();
  await using service = await startService({
    protocolV2: async () => {
      started.resolve(undefined);
      await gate.promise;
      return null;
    },
    limits: { closeGraceMs: 60_000 },
  });
  const [first, second] = [await dialRaw(service.path), await dialRaw(service.path)];
  first.send(attach);
  await started.promise;
  const closed = service.server.close();
  second.send(attach);
  t.regex(((await second.next()) as { Error: string }).Error, /being stopped/);
  gate.resolve(undefined);
  t.is(await first.next(), null);
  await closed;
});

test('version 2: clients that send byte by byte share the listener with version 3', async (t) => {
  const protocolV2: V2Handler = (_session, { name }) => Promise.resolve({ ...device, Unit: name });
  await using service = await startService({ protocolV2 });
  const clients = Array.from({ length: 4 }, () => openClient(service));
  const peers = await Promise.all(Array.from({ length: 4 }, () => dialRaw(service.path)));
  const dribble = async (peer: RawPeer, name: string): Promise<void> => {
    for (const byte of encodeFrame({ ...attach, details: { Name: name } })) {
      peer.write(Buffer.from([byte]));
      await turn();
    }
    t.deepEqual(await peer.next(), { ...device, Unit: name });
    await peer.ended();
  };
  const chatter = clients.map(async (client, index) => {
    for (let round = 0; round < 50; round += 1) {
      const { volume: got } = await client.call('get', { name: `v${index}.${round}` }, never);
      t.is(got.name, `v${index}.${round}`);
    }
  });
  await Promise.all([...peers.map((peer, index) => dribble(peer, `d${index}`)), ...chatter]);
  await Promise.all(clients.map((client) => client.close()));
});

test('version 2: a connection that is lost does not cancel its command', async (t) => {
  const started = Promise.withResolvers<AbortSignal>();
  const finish = Promise.withResolvers<undefined>();
  await using service = await startService({
    protocolV2: async (_session, _request, signal) => {
      started.resolve(signal);
      await finish.promise;
      return null;
    },
  });
  const peer = await dialRaw(service.path);
  peer.send(attach);
  const signal = await started.promise;
  peer.socket.destroy();
  await peer.ended();
  await turn();
  t.false(signal.aborted);
  finish.resolve(undefined);
});
