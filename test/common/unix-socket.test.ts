import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, link, mkdir, readdir, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, get } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Fault } from '../../common/fault.ts';
import { listenOnSocket } from '../../common/unix-socket.ts';

function folder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'socket-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A server that says its name to whoever connects. */
function naming(name: string): Server {
  return createServer((socket) => socket.on('error', () => undefined).end(name));
}

async function nameAt(path: string): Promise<string> {
  const socket = connect(path);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(socket, 'close');
  return text;
}

/** A socket file whose owner was killed. */
async function leaveDeadSocket(path: string): Promise<void> {
  const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', script, path]), 'exit');
  await access(path);
}

async function refusal(t: { fail: (message: string) => void }, path: string): Promise<Fault> {
  try {
    const socket = await listenOnSocket(naming('intruder'), path, { mode: 0o600 });
    await socket.close();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  t.fail('it listens');
  return new Fault('Internal', 'it listens');
}

test('unix socket: it has its mode and its folders, and leaves nothing behind', async (t) => {
  using dir = folder();
  const path = join(dir.path, 'a', 'b', 'vmdk.sock');
  const socket = await listenOnSocket(naming('ours'), path, { mode: 0o660 });
  t.is((await stat(path)).mode & 0o777, 0o660);
  t.deepEqual(await readdir(join(dir.path, 'a', 'b')), ['vmdk.sock']);
  t.is(await nameAt(path), 'ours');
  await Promise.all([socket.close(), socket.close()]);
  t.deepEqual(await readdir(join(dir.path, 'a', 'b')), []);
});

test('unix socket: at no moment can the path be reached with another mode', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  const listening = listenOnSocket(naming('ours'), path, { mode: 0o600 });
  let seen = 0;
  while (seen < 3) {
    const found = await stat(path).catch(() => undefined);
    if (!found) continue;
    seen += 1;
    t.is(found.mode & 0o777, 0o600);
    t.is(await nameAt(path), 'ours');
  }
  await (await listening).close();
});

test('unix socket: a dead one is replaced', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  await leaveDeadSocket(path);
  await using socket = await listenOnSocket(naming('second'), path, { mode: 0o600 });
  t.is(socket.path, path);
  t.is(await nameAt(path), 'second');
});

test('unix socket: a live one is refused, named, and goes on', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  await using socket = await listenOnSocket(naming('first'), path, { mode: 0o600 });
  const fault = await refusal(t, path);
  t.is(fault.code, 'Busy');
  t.true(fault.message.includes(path));
  t.is(await nameAt(socket.path), 'first');
  t.deepEqual(await readdir(dir.path), ['s']);
});

test('unix socket: what is no socket is refused and kept', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  await writeFile(path, 'precious');
  const fault = await refusal(t, path);
  t.is(fault.code, 'InvalidRequest');
  t.true(fault.message.includes(path));
  t.is(await readFile(path, 'utf8'), 'precious');
});

test('unix socket: of several that start at once on a dead one, exactly one listens', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  await leaveDeadSocket(path);
  const attempts = await Promise.allSettled(
    ['a', 'b', 'c', 'd'].map(async (name) => ({
      name,
      socket: await listenOnSocket(naming(name), path, { mode: 0o600 }),
    })),
  );
  const won = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
  t.is(won.length, 1);
  t.is(await nameAt(path), won[0]?.name ?? 'nobody');
  await Promise.all(won.map(({ socket }) => socket.close()));
  t.deepEqual(await readdir(dir.path), []);
});

test('unix socket: on close the file is kept when it is no longer ours', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  const old = await listenOnSocket(naming('old'), path, { mode: 0o600 });
  await unlink(path);
  await using replacement = await listenOnSocket(naming('new'), path, { mode: 0o600 });
  await old.close();
  t.is(await nameAt(replacement.path), 'new');
});

test('unix socket: on close a file that is gone or was moved harms nothing', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  const socket = await listenOnSocket(naming('ours'), path, { mode: 0o600 });
  await link(path, join(dir.path, 'other'));
  await rename(path, join(dir.path, 'moved')).then(() => unlink(join(dir.path, 'moved')));
  await socket.close();
  t.deepEqual(await readdir(dir.path), ['other']);
});

test('unix socket: connections that were accepted outlive close', async (t) => {
  using dir = folder();
  const server = createServer((socket) => socket.pipe(socket));
  const listening = await listenOnSocket(server, join(dir.path, 's'), { mode: 0o600 });
  const socket = connect(listening.path);
  await once(socket, 'connect');
  socket.write('before');
  await once(socket, 'data');
  await listening.close();
  socket.write('after');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  t.is(chunk.toString(), 'after');
  socket.end();
  await once(server, 'close');
});

test('unix socket: a path that is too long, or in no folder, is refused by name', async (t) => {
  using dir = folder();
  const long = join(dir.path, 'x'.repeat(108 - dir.path.length));
  t.regex((await refusal(t, long)).message, /too long/);
  await writeFile(join(dir.path, 'file'), '');
  const below = join(dir.path, 'file', 's');
  t.true((await refusal(t, below)).message.includes(below));
  t.deepEqual(await readdir(dir.path), ['file']);
});

test('unix socket: one whose process is stopped, its backlog full, is not taken for dead', async (t) => {
  using dir = folder();
  const path = join(dir.path, 's');
  const script = `require('node:net').createServer().listen({ path: process.argv[1], backlog: 1 }, () => console.log())`;
  const child = spawn(process.execPath, ['-e', script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const clients: Socket[] = [];
  try {
    await once(child.stdout, 'data');
    child.kill('SIGSTOP');
    while (await connects(path, clients)) t.true(clients.length < 100);
    t.is((await refusal(t, path)).code, 'Busy');
  } finally {
    for (const client of clients) client.destroy();
    child.kill('SIGKILL');
  }
});

async function connects(path: string, clients: Socket[]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const client = connect(path, () => resolve(true)).once('error', () => resolve(false));
  clients.push(client);
  return await promise;
}

test('unix socket: an HTTP server listens on it as well', async (t) => {
  using dir = folder();
  const server = createHttpServer((_request, response) => response.end('over HTTP'));
  await using socket = await listenOnSocket(server, join(dir.path, 's'), { mode: 0o600 });
  const { promise, resolve } = Promise.withResolvers<string>();
  get({ socketPath: socket.path, path: '/', agent: false }, (response) => {
    response.on('data', (chunk: Buffer) => resolve(chunk.toString()));
  });
  t.is(await promise, 'over HTTP');
});

test('socket: what a killed start left beside it goes with a later start; what may be in use stays', async (t) => {
  using place = folder();
  const of = (name: string): string => join(place.path, name);
  const old = new Date(Date.now() - 3_600_000);
  for (const name of ['.sempty1', '.sdead22', '.slive33', '.snew444', '.sother5']) await mkdir(of(name));
  await leaveDeadSocket(of('.sdead22/s'));
  await leaveDeadSocket(of('.snew444/s'));
  await writeFile(of('.sother5/data'), 'mine');
  const live = naming('live');
  live.listen(of('.slive33/s'));
  await once(live, 'listening');
  for (const name of ['.sempty1', '.sdead22', '.slive33', '.sother5']) await utimes(of(name), old, old);
  await using socket = await listenOnSocket(naming('new'), of('x.sock'), { mode: 0o600 });
  t.deepEqual((await readdir(place.path)).sort(), ['.slive33', '.snew444', '.sother5', 'x.sock']);
  t.is(await nameAt(socket.path), 'new');
  live.close();
});
