import { request } from 'node:http';
import test from 'ava';
import { never } from '../support/commands.ts';
import { place } from '../support/place.ts';
import { emptyDisk } from '../../support/empty-disk.ts';
import { type Running, startRunning } from '../support/running.ts';

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly body: string;
}

function ask({ adminSocket }: Running, path: string, method = 'GET', body = ''): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const headers = { 'content-type': 'application/json' };
  const asked = request({ socketPath: adminSocket, path, method, headers, agent: false }, (response) => {
    let text = '';
    response.on('data', (chunk) => (text += String(chunk)));
    response.on('end', () =>
      resolve({ status: response.statusCode, type: response.headers['content-type'], body: text }),
    );
  });
  asked.on('error', reject);
  asked.end(body);
  return promise;
}

test('admin: volumes are listed whole, and found by short and full name', async (t) => {
  const running = await startRunning(t, await place(t));
  await running.client('alpha').call('create', emptyDisk('my db'), never);
  await running.client('beta').call('create', emptyDisk('db'), never);
  const list = JSON.parse((await ask(running, '/v1/volumes')).body) as { volumes: { name: string }[] };
  t.deepEqual(
    list.volumes.map(({ name }) => name),
    ['db', 'my db'],
  );
  for (const path of ['/v1/volumes/my%20db', '/v1/volumes/my%20db%40LOCAL', '/v1/volumes/my%20db@local']) {
    const answer = await ask(running, path);
    t.is(answer.status, 200);
    t.like(JSON.parse(answer.body), { volume: { name: 'my db', datastore: 'local' } });
  }
});

test('admin: the status counts volumes and says who holds what', async (t) => {
  const running = await startRunning(t, await place(t));
  await running.client('alpha').call('create', emptyDisk('db'), never);
  await running.client('alpha').call('attach', { name: 'db' }, never);
  const answer = await ask(running, '/v1/status');
  t.like(JSON.parse(answer.body), {
    hypervisor: 'loop',
    vms: [{ name: 'alpha', attached: ['db@local'] }, { name: 'beta' }],
    problems: [],
    leftovers: [],
    locks: [],
  });
  t.like((JSON.parse(answer.body) as { datastores: object[] }).datastores[0], { name: 'local', volumes: 1 });
});

test('admin: a check is asked for by POST, and its report is the answer', async (t) => {
  const running = await startRunning(t, await place(t));
  const answer = await ask(running, '/v1/check', 'POST');
  t.is(answer.status, 200);
  t.like(JSON.parse(answer.body), { volumes: 0, findings: [] });
  t.is((await ask(running, '/v1/check')).status, 400);
});

for (const [what, path, method, status, code, mention] of [
  ['a volume that is not there', '/v1/volumes/none', 'GET', 404, 'VolumeNotFound', 'none@local'],
  ['a datastore that is not there', '/v1/volumes/a@none', 'GET', 404, 'DatastoreNotFound', 'local, spare'],
  ['a name that is none', '/v1/volumes/a%2Fb', 'GET', 400, 'InvalidName', 'a/b'],
  ['a broken escape', '/v1/volumes/%E0%A4%A', 'GET', 400, 'InvalidRequest', 'not well-formed'],
  ['an unknown address', '/v2/all', 'GET', 400, 'InvalidRequest', '/v2/all'],
  ['another method', '/v1/volumes', 'DELETE', 400, 'InvalidRequest', 'DELETE /v1/volumes'],
] as const) {
  test(`admin: ${what} is a JSON error with its sentence, and no stack`, async (t) => {
    const answer = await ask(await startRunning(t, await place(t)), path, method, '{"broken');
    t.is(answer.status, status, `answer: ${answer.body}`);
    t.regex(answer.type ?? '', /application\/json/);
    const { error } = JSON.parse(answer.body) as { error: { code: string; message: string } };
    t.is(error.code, code);
    t.true(error.message.includes(mention), `sentence: ${error.message}`);
    t.notRegex(answer.body, /node_modules|\.ts:|at /);
  });
}
