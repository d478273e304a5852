/** The rules that dockerd's measured behaviour sets, as far as the door carries them. */
import { existsSync } from 'node:fs';
import test from 'ava';
import { Fault, type FaultCode } from '../../../common/fault.ts';
import { OpenDoor, sentenceOf } from './open-door.ts';

for (const header of [
  '',
  'Content-Type: text/plain',
  'Content-Type: application/x-www-form-urlencoded',
  'Content-Type: ;;',
]) {
  test(`docker rule 1: a body is read with the header ${JSON.stringify(header)}`, async (t) => {
    await using door = await OpenDoor.open();
    const answer = await door.ask(
      '/VolumeDriver.Create',
      { Name: 'web', Opts: { size: '10gb' } },
      header === '' ? [] : [header],
    );
    t.is(answer?.body, '{"Err":""}');
    t.deepEqual(door.driver.calls, ['create web {"size":"10gb"}']);
  });
}

test('docker rule 1: a chunked body is read', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  client.send(
    'POST /VolumeDriver.Path HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"Name\r\n7\r\n":"db"}\r\n0\r\n\r\n',
  );
  t.is((await client.answer())?.body, '{"Mountpoint":"","Err":""}');
});

for (const verb of ['Create', 'Remove', 'Mount', 'Unmount', 'Path', 'Get']) {
  for (const body of ['', '\n']) {
    test(`docker rule 2: ${verb} with the body ${JSON.stringify(body)} is neither acted on nor answered`, async (t) => {
      await using door = await OpenDoor.open();
      t.is(await door.ask(`/VolumeDriver.${verb}`, body), undefined);
      t.deepEqual(door.driver.calls, []);
    });
  }
}

for (const [path, body] of [
  ['/Plugin.Activate', '{"Implements":["VolumeDriver"]}'],
  ['/VolumeDriver.Capabilities', '{"Capabilities":{"Scope":"global"}}'],
  ['/VolumeDriver.List', '{"Volumes":[{"Name":"db","Mountpoint":""}],"Err":""}'],
] as const) {
  for (const sent of ['', '{}', 'null\n']) {
    test(`docker rule 2: ${path}, whose body says nothing, is answered with the body ${JSON.stringify(sent)}`, async (t) => {
      await using door = await OpenDoor.open();
      t.is((await door.ask(path, sent))?.body, body);
    });
  }
}

for (const code of [
  'HostUnavailable',
  'DeadlineExceeded',
  'Busy',
  'Internal',
  'NotAuthorized',
  'ProtocolMismatch',
] as FaultCode[]) {
  test(`docker rule 3: Get that cannot be known (${code}) is left without an answer`, async (t) => {
    await using door = await OpenDoor.open();
    door.driver.failNext('get', new Fault(code, 'not now'));
    t.is(await door.ask('/VolumeDriver.Get', { Name: 'db' }), undefined);
  });
}

test('docker rule 3: Get on which the driver stumbles is left without an answer', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.failNext('get', new TypeError('undefined is not a function'));
  t.is(await door.ask('/VolumeDriver.Get', { Name: 'db' }), undefined);
  const line = await door.logger.line(({ level }) => level === 'error');
  t.is(line.fields['code'], 'Internal');
});

test('docker rule 3: Get says "not found" of a volume that certainly does not exist', async (t) => {
  await using door = await OpenDoor.open();
  const answer = await door.ask('/VolumeDriver.Get', { Name: 'nothing' });
  t.is(answer?.status, 200);
  t.is(sentenceOf(answer), 'volume nothing does not exist');
});

test('docker rule 3: Get says of an invalid name what is wrong with it', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.failNext('get', new Fault('InvalidName', 'volume name ".." means a folder'));
  t.is(sentenceOf(await door.ask('/VolumeDriver.Get', { Name: '..' })), 'volume name ".." means a folder');
});

test('docker rule 3: List without a view says so, and does not pretend that there is nothing', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.failNext('list', new Fault('HostUnavailable', 'the service cannot be reached'));
  t.deepEqual(await door.json('/VolumeDriver.List', {}), { Err: 'the service cannot be reached' });
});

test('docker rule 4: Mount answers the absolute path of the mounted volume', async (t) => {
  await using door = await OpenDoor.open();
  t.deepEqual(await door.json('/VolumeDriver.Mount', { Name: 'db', ID: 'a' }), { Mountpoint: '/mnt/vmdk/db', Err: '' });
});

for (const path of ['', 'db', './db']) {
  test(`docker rule 4: a Mount at ${JSON.stringify(path)} is an error, and is taken back`, async (t) => {
    await using door = await OpenDoor.open();
    door.driver.mountPath = () => path;
    const answer = await door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'a' });
    t.regex(sentenceOf(answer), /not an absolute path/);
    t.deepEqual(door.driver.ids('db'), []);
  });
}

test('docker rule 5: the same ID is passed on as often as it comes', async (t) => {
  await using door = await OpenDoor.open();
  for (const verb of ['Mount', 'Mount', 'Unmount']) await door.ask(`/VolumeDriver.${verb}`, { Name: 'db', ID: 'a' });
  t.deepEqual(door.driver.calls, ['mount db a', 'mount db a', 'unmount db a']);
});

test('docker rule 6: Mounts that dockerd runs at once reach the driver at once', async (t) => {
  await using door = await OpenDoor.open();
  const gates = [door.driver.holdNext('mount'), door.driver.holdNext('mount')];
  const answers = ['a', 'b'].map((ID) => door.json('/VolumeDriver.Mount', { Name: 'db', ID }));
  for (const gate of gates) await gate.entered;
  for (const gate of gates) gate.open();
  await Promise.all(answers);
  t.deepEqual(door.driver.ids('db').toSorted(), ['a', 'b']);
});

test('docker rule 8: a refused Remove is told in words', async (t) => {
  await using door = await OpenDoor.open();
  await door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'a' });
  const answer = await door.ask('/VolumeDriver.Remove', { Name: 'db' });
  t.is(answer?.status, 200);
  t.is(sentenceOf(answer), 'volume db is mounted here');
});

test('docker rule 9: Get echoes the name as asked', async (t) => {
  await using door = await OpenDoor.open();
  t.like(await door.json('/VolumeDriver.Get', { Name: 'db' }), { Volume: { Name: 'db', Mountpoint: '' }, Err: '' });
});

test('docker rule 9: a driver that tells of another name than was asked for is not passed on', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.shownName = (name) => `${name}@local`;
  t.is(await door.ask('/VolumeDriver.Get', { Name: 'db' }), undefined);
});

for (const name of [
  'a b',
  'a/b',
  '..',
  '../x',
  '?',
  '%41',
  '-x',
  '.x',
  'öl',
  '💾',
  'x'.repeat(300),
  '',
  '\0',
  '\ud800',
  '__proto__',
]) {
  test(`docker rule 10: the name ${JSON.stringify(name).slice(0, 20)} reaches the driver as it is`, async (t) => {
    await using door = await OpenDoor.open();
    t.deepEqual(await door.json('/VolumeDriver.Create', { Name: name, Opts: null }), { Err: '' });
    t.deepEqual([...door.driver.volumes.keys()], ['db', name]);
  });
}

test('docker rule 11: the socket file is gone when the door is closed', async (t) => {
  await using door = await OpenDoor.open();
  t.true(existsSync(door.path));
  await door.server.close();
  t.false(existsSync(door.path));
});

test('docker rule 13: List is the text that the driver keeps, and waits for no Mount', async (t) => {
  await using door = await OpenDoor.open();
  const gate = door.driver.holdNext('mount');
  const mounting = door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'a' });
  await gate.entered;
  t.is((await door.ask('/VolumeDriver.List', {}))?.body, door.driver.list());
  gate.open();
  await mounting;
});

for (const [date, isShown] of [
  ['2026-01-02T03:04:05Z', true],
  ['2026-01-02T03:04:05.123456789+02:00', true],
  ['2026-01-02 03:04:05', false],
  ['Fri Jan  2 03:04:05 2026', false],
  ['2026-13-02T03:04:05Z', false],
  ['2026-01-02T24:04:05Z', false],
  ['', false],
] as const) {
  test(`docker rule 14: the date ${JSON.stringify(date)} is ${isShown ? 'shown' : 'left out'}`, async (t) => {
    await using door = await OpenDoor.open();
    door.driver.createdAt = date;
    const answer = (await door.json('/VolumeDriver.Get', { Name: 'db' })) as { Volume: { CreatedAt?: string } };
    t.is(answer.Volume.CreatedAt, isShown ? date : undefined);
  });
}
