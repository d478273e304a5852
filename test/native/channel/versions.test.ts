/** Plugin and service of different releases: what they settle, and what the user is told when they can't. */
import test from 'ava';
import { version } from '../../../common/version.ts';
import type { ChannelEvent } from '../../../native/channel/contract.ts';
import { dialRaw, type RawRequest, startRawService } from './support/raw-peer.ts';
import { ask, request } from './support/requests.ts';
import { hello, helloReply, openClient, startService, volume } from './support/service.ts';
import { faultOfCall, until } from './support/waiting.ts';

const never = new AbortController().signal;

test('versions: a newer plugin that still speaks 3 is served, whatever else its hello says', async (t) => {
  await using service = await startService();
  const peer = await dialRaw(service.path);
  const newer = { ...hello, versions: [3, 4, 5], clientVersion: '9.0.0', wants: ['more'] };
  t.like(await ask(peer, { ...request(1, 'hello', newer), trace: 'x' }), { id: 1, ok: { version: 3 } });
  t.deepEqual(await ask(peer, request(2, 'ping')), { id: 2, ok: {} });
});

for (const [what, message, remedy] of [
  [
    'a newer plugin',
    { ...request(1, 'hello', { versions: [4, 5], clientVersion: '9.0.0' }), v: 4 },
    /^the service .*speaks versions 2 and 3 .*, the plugin in VM alpha \(release 9\.0\.0\) 4 and 5; upgrade vmdkopsd on the host to 9\.0\.0$/,
  ],
  [
    'an older plugin',
    request(1, 'hello', { ...hello, versions: [1] }),
    new RegExp(`; upgrade the plugin to ${version.replaceAll('.', '\\.')}$`),
  ],
  [
    'a plugin that says nothing of itself',
    { ...request(1, 'hello', {}), v: 7 },
    /release unknown\) 7; upgrade vmdkopsd on the host to the release of the plugin$/,
  ],
] as const) {
  test(`versions: with ${what} that has none in common, the sentence says which side to upgrade, and to what`, async (t) => {
    await using service = await startService();
    const peer = await dialRaw(service.path);
    const { error } = await ask(peer, message);
    t.is(error?.code, 'ProtocolMismatch');
    t.regex(error?.message ?? '', remedy);
    await peer.ended();
  });
}

test('versions: what a newer service says more is passed over', async (t) => {
  await using service = await startRawService();
  const heard: ChannelEvent[] = [];
  await using client = openClient(service, { onEvent: (event) => heard.push(event) });
  const peer = await service.accept();
  const greeting = (await peer.next()) as RawRequest;
  peer.send({ id: greeting.id, ok: { ...helloReply('new'), region: 'x' }, tookUs: 1 });
  const call = client.call('get', { name: 'db' }, never);
  const { id } = (await peer.next()) as RawRequest;
  peer.send({ event: { kind: 'moved', sequence: 1, to: 'elsewhere' } });
  peer.send({ event: { kind: 'removed', sequence: 2, name: 'x', datastore: 'local', why: 'asked' }, at: 7 });
  const db = volume('db');
  peer.send({ id, ok: { volume: { ...db, colour: 'red' }, more: [] } });
  t.deepEqual(await call, { volume: db });
  t.deepEqual(heard, [{ kind: 'removed', sequence: 2, name: 'x', datastore: 'local' }]);
  t.true(client.isConnected);
});

test('versions: an error of a newer service whose code is not known keeps its sentence', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const peer = await service.greet();
  const call = faultOfCall(client.call('remove', { name: 'db' }, never));
  const { id } = (await peer.next()) as RawRequest;
  peer.send({ id, error: { code: 'VolumeFrozen', message: 'volume db is frozen; thaw it', until: 'May' } });
  t.like(await call, { code: 'Internal', message: 'volume db is frozen; thaw it' });
  t.true(client.isConnected);
});

test('versions: a service that refuses every version of ours ends calls with its own sentence', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const call = faultOfCall(client.call('get', { name: 'db' }, never));
  const peer = await service.accept();
  const { id } = (await peer.next()) as RawRequest;
  peer.send({ id, error: { code: 'ProtocolMismatch', message: 'the plugin is too old; upgrade it to 9.0.0' } });
  t.like(await call, { code: 'ProtocolMismatch', message: 'the plugin is too old; upgrade it to 9.0.0' });
});

test('versions: the archived service, which knows version 2 only, is told apart, with what to install', async (t) => {
  await using service = await startRawService();
  await using client = openClient(service);
  const call = faultOfCall(client.call('get', { name: 'db' }, never));
  const peer = await service.accept();
  await peer.next();
  peer.send({ Error: 'unknown command' });
  const { code, message } = await call;
  t.is(code, 'ProtocolMismatch');
  t.regex(
    message,
    /only version 2 of the protocol.*install vmdkopsd \d+\.\d+\.\d+, the release of this plugin, on the host/,
  );
  await until(() => client.lastError?.message === message);
});

test('versions: what a newer plugin asks for beyond our knowledge is refused, not half done', async (t) => {
  await using service = await startService();
  const peer = await dialRaw(service.path);
  await ask(peer, request(1, 'hello', hello));
  const { error } = await ask(peer, request(2, 'remove', { name: 'db', keepsData: true }));
  t.like(error, { code: 'InvalidRequest' });
  t.regex(error?.message ?? '', /keepsData/);
});
