import { existsSync } from 'node:fs';
import { lstat, writeFile } from 'node:fs/promises';
import test from 'ava';
import { deadline, pause } from '../../../common/deadline.ts';
import { faultOf } from '../../../common/fault.ts';
import { silentLogger } from '../../../common/logging.ts';
import { HttpServer } from '../../../plugin/doors/http-server.ts';
import { OpenDoor } from './open-door.ts';

test('the socket is for its owner alone', async (t) => {
  await using door = await OpenDoor.open();
  t.is((await lstat(door.path)).mode & 0o777, 0o600);
});

test('a second server on the same path is refused, and the first goes on', async (t) => {
  await using door = await OpenDoor.open();
  const second = HttpServer.open(() => undefined, { path: door.path, logger: silentLogger, closeLimitMs: 1 });
  const refusal = await t.throwsAsync(second);
  t.is(faultOf(refusal).code, 'Busy');
  t.deepEqual(await door.json('/VolumeDriver.Path', { Name: 'db' }), { Mountpoint: '', Err: '' });
});

test('close lets a request in flight end, and takes no new connection', async (t) => {
  await using door = await OpenDoor.open();
  const gate = door.driver.holdNext('mount');
  const mounting = door.json('/VolumeDriver.Mount', { Name: 'db', ID: 'a' });
  await gate.entered;
  const closing = door.server.close();
  t.is(closing, door.server.close(), 'closing again is the same close');
  using limit = deadline(5_000, 'closing the socket');
  while (existsSync(door.path)) await pause(1, limit.signal);
  await t.throwsAsync(door.client());
  gate.open();
  t.deepEqual(await mounting, { Mountpoint: '/mnt/vmdk/db', Err: '' });
  await closing;
  t.deepEqual(door.driver.ids('db'), ['a']);
});

test('close ends idle connections at once', async (t) => {
  await using door = await OpenDoor.open(600_000);
  const idle = await door.client();
  const used = await door.client();
  used.post('/VolumeDriver.Path', '{"Name":"db"}');
  await used.answer();
  await door.server.close();
  await t.notThrowsAsync(Promise.all([idle.closed, used.closed]));
});

test('close ends a connection as soon as its last request is answered', async (t) => {
  await using door = await OpenDoor.open(600_000);
  const client = await door.client();
  const gate = door.driver.holdNext('unmount');
  client.post('/VolumeDriver.Unmount', '{"Name":"db","ID":"a"}');
  await gate.entered;
  const closing = door.server.close();
  gate.open();
  t.is((await client.answer())?.status, 200);
  await closing;
  await client.closed;
});

test('close cuts off what outlasts its limit, and a Mount cut off so is not kept', async (t) => {
  await using door = await OpenDoor.open(1);
  const gate = door.driver.holdNext('mount');
  const mounting = door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'a' });
  await gate.entered;
  await door.server.close();
  t.is(await mounting, undefined);
  gate.open();
  await door.logger.line(({ fields }) => fields['op'] === 'Mount');
  t.deepEqual(door.driver.ids('db'), []);
});

test('a request without a Host header is served', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  client.send('POST /VolumeDriver.Path HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"Name":"db"}');
  t.is((await client.answer())?.status, 200);
});

test('what is no HTTP is refused, and harms no other connection', async (t) => {
  await using door = await OpenDoor.open();
  const [broken, sound] = [await door.client(), await door.client()];
  broken.send('\x16\x03\x01 hello\r\n\r\n');
  t.is((await broken.answer())?.status, 400);
  await broken.closed;
  sound.post('/VolumeDriver.Path', '{"Name":"db"}');
  t.is((await sound.answer())?.status, 200);
});

test('a file that is no socket is not replaced', async (t) => {
  await using door = await OpenDoor.open();
  const path = `${door.path}.file`;
  await writeFile(path, '');
  const onFile = HttpServer.open(() => undefined, { path, logger: silentLogger, closeLimitMs: 1 });
  const refusal = await t.throwsAsync(onFile);
  t.is(faultOf(refusal).code, 'InvalidRequest');
});
