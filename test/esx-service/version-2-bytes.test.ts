/**
 * A guest of the archived product, byte by byte: its frames are written out here as its C library made them, and not by
 * our codec. Each byte goes out by itself, while guests of version 3 use the same socket.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'ava';
import { never } from './support/commands.ts';
import { place } from './support/place.ts';
import { emptyDisk, startRunning } from './support/running.ts';

/** Magic 0x0badbeef and length (of the text and its NUL), little-endian; then the text and the NUL. */
function bytesOf(text: string): number[] {
  const body = [...Buffer.from(text), 0];
  const length = [body.length & 0xff, (body.length >> 8) & 0xff, (body.length >> 16) & 0xff, body.length >> 24];
  return [0xef, 0xbe, 0xad, 0x0b, ...length, ...body];
}

/** The body of the one frame that came back, without its NUL; checked as the archived client did. */
function bodyOf(reply: Buffer): string {
  const length = reply.readUInt32LE(4);
  if (reply.readUInt32LE(0) !== 0x0badbeef || reply.length !== 8 + length || reply.at(-1) !== 0) {
    throw new Error(`no frame of version 2: ${reply.toString('hex')}`);
  }
  return reply.toString('utf8', 8, 8 + length - 1);
}

async function askAt(path: string, text: string, beforeEach: () => Promise<unknown>): Promise<string> {
  const socket = connect(path);
  socket.setNoDelay(true);
  await once(socket, 'connect');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = once(socket, 'close');
  for (const byte of bytesOf(text)) {
    await beforeEach();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    socket.write(Uint8Array.of(byte), () => resolve(undefined));
    await promise;
  }
  await closed;
  return bodyOf(Buffer.concat(chunks));
}

test('version 2: a client that writes single bytes gets right answers from the service, while version 3 goes on', async (t) => {
  const at = await place(t);
  const { client, socketOf } = await startRunning(t, at);
  const modern = client('alpha');
  let pings = 0;
  const interleave = async (): Promise<void> => {
    await modern.call('ping', {}, never);
    pings += 1;
  };
  const ask = (text: string): Promise<string> => askAt(socketOf('alpha'), text, interleave);
  const create = '{"cmd":"create","details":{"Name":"old","Opts":{"size":"8mb","fstype":"ext4"}},"version":"2"}';
  t.is(await ask(create), 'null');
  t.is(pings, bytesOf(create).length);
  await modern.call('create', emptyDisk('new'), never);
  const list = '{"cmd":"list","details":{"Name":""},"version":"2"}';
  t.deepEqual(JSON.parse(await ask(list)), [
    { Name: 'new@local', Attributes: {} },
    { Name: 'old@local', Attributes: {} },
  ]);
  t.is((await modern.call('get', { name: 'old' }, never)).volume.sizeBytes, 8 << 20);
  const attach = '{"cmd":"attach","details":{"Name":"old"},"version":"2"}';
  t.regex(await ask(attach), /^\{"Error":".*has no PCI addresses.*"\}$/);
  const remove = '{"cmd":"remove","details":{"Name":"old"},"version":"2"}';
  const both = [ask(remove), modern.call('attach', { name: 'new' }, never)] as const;
  t.is(await both[0], 'null');
  t.is((await both[1]).volume.name, 'new');
  await modern.call('detach', { name: 'new', isFormatted: false, isClonePrepared: false }, never);
  t.regex(await ask('{"cmd":"get","details":{"Name":"old"},"version":"2"}'), /does not exist/);
});
