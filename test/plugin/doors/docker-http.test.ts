import test from 'ava';
import fc from 'fast-check';
import { Fault } from '../../../common/fault.ts';
import { OpenDoor, sentenceOf } from './open-door.ts';

const verbs = ['Create', 'Remove', 'Mount', 'Unmount', 'Path', 'Get', 'List', 'Capabilities'];

test('a volume lives from Create to Remove', async (t) => {
  await using door = await OpenDoor.open();
  const ask = (verb: string, body: unknown): Promise<unknown> => door.json(`/VolumeDriver.${verb}`, body);
  t.deepEqual(await ask('Create', { Name: 'web', Opts: { size: '10gb' } }), { Err: '' });
  t.deepEqual(await ask('Path', { Name: 'web' }), { Mountpoint: '', Err: '' });
  t.deepEqual(await ask('Mount', { Name: 'web', ID: 'a' }), { Mountpoint: '/mnt/vmdk/web', Err: '' });
  t.deepEqual(await ask('Path', { Name: 'web' }), { Mountpoint: '/mnt/vmdk/web', Err: '' });
  t.deepEqual(await ask('Get', { Name: 'web' }), {
    Volume: { Name: 'web', Mountpoint: '/mnt/vmdk/web', CreatedAt: '2026-01-02T03:04:05Z', Status: { status: 'ok' } },
    Err: '',
  });
  t.deepEqual(await ask('Unmount', { Name: 'web', ID: 'a' }), { Err: '' });
  t.deepEqual(await ask('Remove', { Name: 'web' }), { Err: '' });
  t.deepEqual(await ask('List', {}), { Volumes: [{ Name: 'db', Mountpoint: '' }], Err: '' });
});

test('the handshake tells the driver that dockerd has started', async (t) => {
  await using door = await OpenDoor.open();
  await door.ask('/Plugin.Activate', '');
  t.is(door.driver.activations, 1);
});

for (const opts of [null, undefined, {}]) {
  test(`Create with ${JSON.stringify({ Opts: opts })} has no options`, async (t) => {
    await using door = await OpenDoor.open();
    t.deepEqual(await door.json('/VolumeDriver.Create', { Name: 'web', Opts: opts }), { Err: '' });
    t.deepEqual(door.driver.calls, ['create web {}']);
  });
}

test('an option of any name reaches the driver', async (t) => {
  await using door = await OpenDoor.open();
  const options = '{"__proto__":"x","constructor":"","":"y"}';
  t.is((await door.ask('/VolumeDriver.Create', `{"Name":"web","Opts":${options}}`))?.body, '{"Err":""}');
  t.deepEqual(door.driver.calls, [`create web ${options}`]);
});

for (const [body, sentence] of [
  ['{}', 'field Name must be a string, but is missing'],
  ['{"Name":null,"ID":"a"}', 'field Name must be a string, but is null'],
  ['{"Name":7,"ID":"a"}', 'field Name must be a string, but is of type number'],
  ['{"Name":["db"],"ID":"a"}', 'field Name must be a string, but is an array'],
  ['{"Name":"db"}', 'field ID must be a string, but is missing'],
  ['{"Name":"db","ID":""}', 'field ID must name the mount, but is empty'],
  ['{"Name":"db","ID":{}}', 'field ID must be a string, but is of type object'],
] as const) {
  test(`Mount of ${body} is refused by the field`, async (t) => {
    await using door = await OpenDoor.open();
    const answer = await door.ask('/VolumeDriver.Mount', body);
    t.is(answer?.status, 400);
    t.is(sentenceOf(answer), sentence);
    t.deepEqual(door.driver.calls, []);
  });
}

for (const [opts, sentence] of [
  ['["size"]', 'field Opts must be an object of strings, but is an array'],
  ['"size"', 'field Opts must be an object of strings, but is of type string'],
  ['{"size":10}', 'field Opts must be an object of strings, but its "size" is of type number'],
] as const) {
  test(`Create with ${opts} is refused by the field`, async (t) => {
    await using door = await OpenDoor.open();
    const answer = await door.ask('/VolumeDriver.Create', `{"Name":"web","Opts":${opts}}`);
    t.is(answer?.status, 400);
    t.is(sentenceOf(answer), sentence);
  });
}

for (const verb of verbs) {
  for (const body of ['{', '{"Name":"db"', '[]', '"db"', '7', 'nul', '\0']) {
    test(`${verb} with the body ${JSON.stringify(body)} is refused`, async (t) => {
      await using door = await OpenDoor.open();
      const answer = await door.ask(`/VolumeDriver.${verb}`, body);
      t.is(answer?.status, 400);
      t.regex(sentenceOf(answer), /^the request is not /);
      t.deepEqual(door.driver.calls, []);
    });
  }
}

for (const [method, path, status] of [
  ['GET', '/VolumeDriver.Get', 405],
  ['PUT', '/VolumeDriver.Create', 405],
  ['OPTIONS', '/VolumeDriver.Mount', 405],
  ['POST', '/health', 405],
  ['DELETE', '/metrics', 405],
  ['POST', '/VolumeDriver.Fly', 404],
  ['GET', '/', 404],
  ['GET', '/etc/passwd', 404],
  ['POST', '/%zz', 404],
] as const) {
  test(`${method} ${path} is refused with ${String(status)} and a sentence`, async (t) => {
    await using door = await OpenDoor.open();
    const client = await door.client();
    client.send(`${method} ${path} HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n`);
    const answer = await client.answer();
    t.is(answer?.status, status);
    t.not(sentenceOf(answer), '');
    t.notRegex(answer?.body ?? '', /node_modules|\.ts:/);
  });
}

test('a verb may carry a query, which says nothing', async (t) => {
  await using door = await OpenDoor.open();
  t.is((await door.ask('/VolumeDriver.Path?a[b]=c', { Name: 'db' }))?.body, '{"Mountpoint":"","Err":""}');
});

test('a body just within the limit is taken, one byte more is refused, and the connection goes on', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  const frame = '{"Name":"db","ID":"a","x":""}';
  const largest = `${frame.slice(0, -2)}${'x'.repeat(1024 * 1024 - frame.length)}"}`;
  client.post('/VolumeDriver.Mount', largest);
  t.is((await client.answer())?.status, 200);
  client.post('/VolumeDriver.Mount', `${largest} `);
  const answer = await client.answer();
  t.is(answer?.status, 413);
  t.is(sentenceOf(answer), "the request's body is larger than 1048576 bytes");
  client.post('/VolumeDriver.Path', '{"Name":"db"}');
  t.is((await client.answer())?.status, 200);
  t.is(door.driver.calls.filter((call) => call.startsWith('mount')).length, 1);
});

test('a flood is cut off', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  client.send('POST /VolumeDriver.Mount HTTP/1.1\r\nHost:\r\nContent-Length: 100000000\r\n\r\n');
  for (let sent = 0; sent < 20; sent += 1) client.send(Buffer.alloc(1024 * 1024, 'x'));
  await client.closed;
  t.deepEqual(door.driver.calls, []);
});

test('a failure is told in its own words, with status 200', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.failNext('create', new Fault('NoSpace', 'datastore local is full'));
  const answer = await door.ask('/VolumeDriver.Create', { Name: 'web' });
  t.is(answer?.status, 200);
  t.is(answer?.body, '{"Err":"datastore local is full"}');
});

test('a failure without words is not taken for a success', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.failNext('create', new Error(''));
  t.is(sentenceOf(await door.ask('/VolumeDriver.Create', { Name: 'web' })), 'Internal');
});

test('answers carry the content type of Docker plugins, and no more than they need', async (t) => {
  await using door = await OpenDoor.open();
  const answer = await door.ask('/VolumeDriver.Path', { Name: 'db' });
  t.is(answer?.headers.get('content-type'), 'application/vnd.docker.plugins.v1.2+json');
  t.is(answer?.headers.get('x-powered-by'), undefined);
  t.is(answer?.headers.get('etag'), undefined);
});

test('requests on one connection are answered in order', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  const gate = door.driver.holdNext('create');
  client.post('/VolumeDriver.Create', '{"Name":"web"}');
  client.post('/VolumeDriver.Path', '{"Name":"db"}');
  client.post('/VolumeDriver.Mount', '{"Name":"db","ID":"a"}');
  await door.driver.called('mount db a');
  gate.open();
  t.is((await client.answer())?.body, '{"Err":""}');
  t.is((await client.answer())?.body, '{"Mountpoint":"","Err":""}');
  t.is((await client.answer())?.body, '{"Mountpoint":"/mnt/vmdk/db","Err":""}');
});

test('many changes in one pipeline are all answered, without a warning of the runtime', async (t) => {
  await using door = await OpenDoor.open();
  const warnings: Error[] = [];
  const note = (warning: Error): void => void warnings.push(warning);
  process.on('warning', note);
  t.teardown(() => process.off('warning', note));
  const client = await door.client();
  const gate = door.driver.holdNext('create');
  client.post('/VolumeDriver.Create', '{"Name":"web"}');
  for (let id = 0; id < 50; id += 1) client.post('/VolumeDriver.Mount', JSON.stringify({ Name: 'db', ID: String(id) }));
  await door.driver.called('mount db 49');
  gate.open();
  for (let count = 0; count < 51; count += 1) t.is((await client.answer())?.status, 200);
  t.is(door.driver.ids('db').length, 50);
  t.deepEqual(warnings, []);
});

test('any body is answered in JSON with a sentence, or dropped, and the next request is served', async (t) => {
  await using door = await OpenDoor.open();
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((json) => Buffer.from(json)),
    fc.record({ Name: fc.anything(), ID: fc.anything(), Opts: fc.anything() }, { requiredKeys: [] }).map(encoded),
    fc.dictionary(fc.string(), fc.string()).map((Opts) => encoded({ Name: 'web', ID: 'a', Opts })),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...verbs), body, async (verb, bytes) => {
      const client = await door.client();
      client.post(`/VolumeDriver.${verb}`, bytes);
      const answer = await client.answer();
      client.hangUp();
      if (bytes.toString().trim() === '' && !['List', 'Capabilities'].includes(verb)) return answer === undefined;
      const value: unknown = JSON.parse(answer?.body ?? 'null');
      return typeof value === 'object' && value !== null && (answer?.status === 200 || sentenceOf(answer) !== '');
    }),
    { numRuns: 400 },
  );
  t.deepEqual(await door.json('/VolumeDriver.Path', { Name: 'db' }), { Mountpoint: '', Err: '' });
  t.is(
    door.logger.lines.find(({ level }) => level === 'error'),
    undefined,
  );
});

function encoded(value: object): Buffer {
  return Buffer.from(
    JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)),
  );
}
