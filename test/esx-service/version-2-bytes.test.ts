/** A guest of the archived product, byte by byte, while guests of version 3 use the same socket. */
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'ava';
import { never } from './support/commands.ts';
import { place } from './support/place.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { startRunning } from './support/running.ts';
import { askOn, bytesOf } from './support/version-2-client.ts';

async function askAt(path: string, text: string, beforeEach: () => Promise<unknown>): Promise<string> {
  const socket = connect(path);
  socket.setNoDelay(true);
  await once(socket, 'connect');
  return askOn(socket, text, beforeEach);
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
