/** docs/protocol.md: says neither more nor less than the contract, and is enough to write a client. */
import test, { type ExecutionContext } from 'ava';
import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { Fault, faultCodes } from '../../common/fault.ts';
import { silentLogger } from '../../common/logging.ts';
import { startService } from '../../esx-service/compose.ts';
import { serviceConfigSchema } from '../../esx-service/config.ts';
import { changes } from '../../native/channel/command-traits.ts';
import {
  commandNames,
  commands,
  defaultPort,
  deviceSchema,
  eventSchema,
  maxWithinMs,
  requestSchema,
  volumeSchema,
} from '../../native/channel/contract.ts';
import { frameMagic, maxBodyBytes } from '../../native/channel/frame.ts';
import { defaultLimits } from '../../native/channel/server.ts';
import { place } from '../esx-service/support/place.ts';
import { readDocument } from './documents.ts';
import { IndependentClient, type Json } from './independent-client.ts';

const document = await readDocument('docs/protocol.md');

/** Name and whether it may be absent, as the schema has them. */
function fieldsOf(schema: z.ZodType): readonly string[] {
  const form = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }) as {
    readonly properties?: object;
    readonly required?: readonly string[];
  };
  return Object.keys(form.properties ?? {})
    .map((key) => (form.required?.includes(key) === false ? `${key}, optional` : key))
    .sort();
}

/** The same as the document's table of this heading below this title has them. */
function tableOf(title: string, heading: string): readonly string[] {
  const section = document.split(/^#{2,3} /m).find((text) => text.startsWith(`${title}\n`)) ?? '';
  const [, rows = ''] = section.split(new RegExp(`^\\| ${heading} \\|.*\\n\\|[-|]+\\|\\n`, 'm'));
  const [table = ''] = rows.split('\n\n');
  return [...table.matchAll(/^\| `(?<name>\w+)` \| (?<type>[^|]*) \|/gm)]
    .map(({ groups: { name = '', type = '' } = {} }) =>
      /\boptional\b(?<!each optional)/.test(type) ? `${name}, optional` : name,
    )
    .sort();
}

test('protocol.md: each command has the arguments and the reply of the contract, and there is no other', (t) => {
  const titles = Array.from(
    (document.split('## Commands')[1] ?? '').split('\n## ')[0]?.matchAll(/^### (\w+)$/gm) ?? [],
    ([, title]) => title,
  );
  t.deepEqual(titles, commandNames);
  for (const name of commandNames) {
    t.deepEqual(tableOf(name, 'argument'), fieldsOf(commands[name].args), `arguments of ${name}`);
    t.deepEqual(tableOf(name, 'reply'), fieldsOf(commands[name].ok), `reply to ${name}`);
  }
});

test('protocol.md: each record and each message has the fields of the contract', (t) => {
  const [command, cancel] = requestSchema.options;
  t.deepEqual(tableOf('Messages', 'field'), [...new Set([...fieldsOf(command), ...fieldsOf(cancel)])].sort());
  t.deepEqual(tableOf('volume', 'field'), fieldsOf(volumeSchema));
  for (const device of deviceSchema.options)
    t.deepEqual(tableOf('device', `field of ${device.shape.kind.value}`), fieldsOf(device));
  for (const event of eventSchema.options)
    t.deepEqual(tableOf('event', `field of ${event.shape.kind.value}`), fieldsOf(event));
});

test('protocol.md: each code has the class that it has in the source, and each number is the one that is used', (t) => {
  const rows = Array.from(document.matchAll(/^\| `(\w+)` \| (\w+) \|$/gm), ([, code, kind]) => `${code}: ${kind}`);
  t.deepEqual(
    rows,
    faultCodes.map((code) => `${code}: ${new Fault(code, '').class}`),
  );
  const { maxInFlight, maxAtWork, maxOutcomes, outcomeAgeMs, frameTimeoutMs, maxQueuedBytes } = defaultLimits;
  const sentences = [
    `\`0x0${frameMagic.toString(16)}\``,
    `at most ${maxBodyBytes}`,
    `port ${defaultPort}`,
    `1 to ${maxWithinMs}`,
    `for ${outcomeAgeMs / 1000} s after that, for the last ${maxOutcomes} finished`,
    `more than ${frameTimeoutMs / 1000} s`,
    `than ${maxInFlight} commands at work for a connection, or ${maxAtWork} changing`,
    `when ${maxQueuedBytes} bytes`,
  ];
  for (const sentence of sentences)
    t.true(document.toLowerCase().includes(sentence.toLowerCase()), `it does not say "${sentence}"`);
  const changing = commandNames.filter((name) => changes(name)).map((name) => `\`${name}\``);
  t.true(
    document.includes(`${changing.slice(0, -1).join(', ')} and ${changing.at(-1)}. When`),
    'which commands change something',
  );
});

const emptyVolume = { sizeBytes: 2 ** 20, fstype: 'ext4', diskformat: 'thin', access: 'read-write' };
const wanted = { ...emptyVolume, name: 'db', attachAs: 'independent_persistent', mountOptions: [], root: {} };

interface Dial {
  /** A connection on which hello was said then, with these fields more in its message and in its arguments. */
  (saidAtUs: number, more?: Json, moreArgs?: Json): Promise<IndependentClient>;
  readonly socket: string;
}

async function startedService(t: ExecutionContext): Promise<Dial> {
  const at = await place(t);
  const socket = at.path('web.sock');
  const datastores = { local: at.path('local') };
  const config = { datastores, vms: [{ name: 'web', socket }], adminSocket: at.path('admin.sock') };
  const service = await startService(serviceConfigSchema.parse(config), { logger: silentLogger });
  t.teardown(() => service.close());
  const dial = async (saidAtUs: number, more: Json = {}, moreArgs: Json = {}): Promise<IndependentClient> => {
    const client = new IndependentClient(socket);
    t.teardown(() => client.close());
    const args = { versions: [3], clientVersion: 'independent', bootId: 'boot', saidAtUs, ...moreArgs };
    const id = client.send('hello', randomUUID(), args, more);
    const reply = await client.next((message) => message['id'] === id);
    t.like(reply, { ok: { version: 3, vm: { name: 'web' }, datastores: ['local'] } });
    return client;
  };
  return Object.assign(dial, { socket });
}

function volumeOf(reply: Json): Json {
  return ((reply['ok'] as Json | undefined)?.['volume'] ?? {}) as Json;
}

test('protocol: a client written from the document alone makes a volume, is told of it, holds it and removes it', async (t) => {
  const client = await (await startedService(t))(1);
  t.deepEqual(await client.ask('watch', randomUUID(), {}), { id: 2, ok: { sequence: 0 } });
  t.like(await client.ask('list', randomUUID(), { limit: 10 }), { ok: { volumes: [] } });
  const made = await client.ask('create', randomUUID(), wanted);
  const { uuid = '' } = volumeOf(made);
  t.like(await client.next((message) => 'event' in message), {
    event: { kind: 'changed', sequence: 1, volume: { uuid } },
  });
  const attached = await client.ask('attach', randomUUID(), { name: 'db@local' });
  t.like(attached, { ok: { device: { kind: 'loop' }, isFormatted: false, isReadOnly: false, isFreshClone: false } });
  t.like(await client.ask('remove', randomUUID(), { name: 'db' }), { error: { code: 'VolumeInUse' } });
  const told = { name: 'db', isFormatted: false, isClonePrepared: false };
  t.like(await client.ask('detach', randomUUID(), told), { ok: {} });
  t.like(await client.ask('remove', randomUUID(), { name: 'db', uuid: '0'.repeat(32) }), {
    error: { code: 'VolumeReplaced' },
  });
  t.like(await client.ask('remove', randomUUID(), { name: 'db', uuid }), { ok: {} });
  t.like(await client.next(({ event }) => (event as Json | undefined)?.['kind'] === 'removed'), {
    event: { name: 'db', datastore: 'local' },
  });
  t.like(await client.ask('get', randomUUID(), { name: 'db' }), { error: { code: 'VolumeNotFound' } });
  t.like(await client.ask('get', randomUUID(), { name: 'db', surplus: 1 }), { error: { code: 'InvalidRequest' } });
});

test('protocol: a key that is repeated on a later connection gets the first reply, and the earlier one is told to be over', async (t) => {
  const dial = await startedService(t);
  const first = await dial(1);
  const key = randomUUID();
  const made = await first.ask('create', key, wanted);
  const second = await dial(2);
  t.like(await first.next((message) => 'over' in message), { over: { code: 'TakenOver' } });
  t.is(await first.next(() => true), undefined);
  t.deepEqual(volumeOf(await second.ask('create', key, wanted)), volumeOf(made));
  t.like(await second.ask('create', key, { ...wanted, name: 'other' }), { error: { code: 'InvalidRequest' } });
  t.like(await second.ask('create', randomUUID(), { ...wanted, sizeBytes: 2 ** 21 }), {
    error: { code: 'VolumeExists' },
  });
});

test('protocol: a hello may have fields that are not known, and one of other versions is told which side is the older', async (t) => {
  const dial = await startedService(t);
  const known = { clientVersion: '9.9.9', bootId: 'boot', saidAtUs: 2 };
  const later = await dial(1, { later: true }, { later: { list: [] } });
  t.like(await later.ask('ping', randomUUID(), { later: true }), { error: { code: 'InvalidRequest' } });
  const stranger = new IndependentClient(dial.socket);
  t.teardown(() => stranger.close());
  const id = stranger.send('hello', randomUUID(), { ...known, versions: [4] });
  const refusal = await stranger.next((message) => message['id'] === id);
  t.like(refusal, { error: { code: 'ProtocolMismatch' } });
  t.regex(String((refusal?.['error'] as Json)['message']), /upgrade vmdkopsd/);
  t.is(await stranger.next(() => true), undefined);
});
