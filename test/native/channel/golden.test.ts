/**
 * Other releases of either side, as recorded bytes: what 0.1.0 said must be understood for as long as version 3 of the
 * protocol is spoken.
 */
import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import type { Args, ChannelEvent, CommandName, Reply } from '../../../native/channel/contract.ts';
import type { ChannelClient, ClientSession } from '../../../native/channel/client.ts';
import type { Handlers, Session } from '../../../native/channel/session.ts';
import { dialRaw, type RawRequest, startRawService } from './support/raw-peer.ts';
import { frameOf, recorded, type Said } from './support/recorded.ts';
import { openClient, startService } from './support/service.ts';
import { until } from './support/waiting.ts';

const never = new AbortController().signal;
const conversation = await recorded('protocol-3.txt');
const requests = conversation.filter(({ by, message }) => by === 'guest' && 'cmd' in message);
const events = conversation.flatMap(({ message }) => ('event' in message ? [message['event'] as ChannelEvent] : []));

function replyTo(id: unknown): Said['message'] {
  const found = conversation.find(({ by, message }) => by === 'host' && message['id'] === id);
  if (!found) throw new Error(`nothing was replied to ${String(id)}`);
  return found.message;
}

/** Answers as recorded, whatever is asked in that order, and keeps what was asked. */
function recordedHandlers(asked: unknown[]): Handlers {
  let next = 0;
  const answer = (_session: Session, args: unknown): never => {
    asked.push(args);
    const { ok, error } = replyTo(requests[next++]?.message['id']) as { ok?: unknown; error?: { message: string } };
    if (error) throw new Fault('VolumeInUse', error.message);
    return ok as never;
  };
  const names: readonly CommandName[] = 'hello create remove attach detach get list watch ping'.split(
    ' ',
  ) as CommandName[];
  return Object.fromEntries(names.map((name) => [name, answer])) as unknown as Handlers;
}

test('protocol 3: a service understands all that the plugin of 0.1.0 says, and answers what that one reads', async (t) => {
  const asked: unknown[] = [];
  await using service = await startService({ handlers: recordedHandlers(asked) });
  const peer = await dialRaw(service.path);
  for (const { message, frame } of requests) {
    peer.write(frame);
    t.like(await peer.next(), replyTo(message['id']));
    t.deepEqual(asked.at(-1), message['args']);
  }
  peer.write(conversation.find(({ message }) => 'cancel' in message)?.frame ?? Buffer.alloc(0));
  peer.write(frameOf('{"v":3,"id":99,"cmd":"ping","key":"00000000-0000-4000-8000-000000000099","args":"none"}'));
  t.like(await peer.next(), { id: 99, error: { code: 'InvalidRequest' } });
});

test('protocol 3: a plugin understands all that the service of 0.1.0 says', async (t) => {
  await using service = await startRawService();
  const heard: ChannelEvent[] = [];
  const sessions: ClientSession[] = [];
  await using client = openClient(service, {
    onSession: (session) => sessions.push(session),
    onEvent: (event) => heard.push(event),
  });
  const peer = await service.accept();
  let call: Promise<unknown> | undefined;
  for (const { message } of conversation) {
    if ('cmd' in message) {
      if (message['cmd'] !== 'hello') call = settled(asks(client, message));
      const { id, cmd } = (await peer.next()) as RawRequest;
      const reply = replyTo(message['id']);
      t.is(cmd, String(message['cmd']));
      peer.write(frameOf(JSON.stringify({ ...reply, id })));
      if (call) t.deepEqual(await call, reply['ok'] ?? reply['error']);
    } else if ('event' in message) {
      peer.write(frameOf(JSON.stringify(message)));
    }
  }
  await until(() => heard.length === events.length);
  t.deepEqual(heard, events);
  t.deepEqual(sessions[0]?.hello, replyTo(1)['ok'] as Reply<'hello'>);
  peer.write(conversation.at(-1)?.frame ?? Buffer.alloc(0));
  await until(() => client.lastError?.code === 'TakenOver');
});

function asks(client: ChannelClient, { cmd, args }: Said['message']): Promise<unknown> {
  return client.call(cmd as CommandName, args as Args<CommandName>, never);
}

async function settled(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Fault) return { code: error.code, message: error.message };
    throw error;
  }
}
