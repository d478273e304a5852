import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { KeepAliveClient } from './keep-alive-client.ts';

async function serve(t: ExecutionContext, listener: RequestListener): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  const socketPath = join(folder, 'http.sock');
  const server = createServer(listener).listen(socketPath);
  t.teardown(async () => {
    server.close();
    server.closeAllConnections();
    await rm(folder, { recursive: true });
  });
  await once(server, 'listening');
  return socketPath;
}

test('bench client: replies of any size come whole and in turn over one connection', async (t) => {
  const sizes = [0, 5, 3_000_000, 1];
  let connections = new Set<unknown>();
  const socketPath = await serve(t, (request, response) => {
    connections = connections.add(request.socket);
    const body = 'x'.repeat(Number(request.url?.slice(1)));
    response.setHeader('Content-Length', body.length);
    response.end(body);
  });
  using client = await KeepAliveClient.open(socketPath, AbortSignal.any([]));
  for (const size of sizes) {
    const { status, body } = await client.ask('GET', `/${String(size)}`);
    t.deepEqual([status, body.length], [200, size]);
  }
  t.is(connections.size, 1);
});

test('bench client: a connection that ends fails the request under way', async (t) => {
  const socketPath = await serve(t, (request) => request.socket.destroy());
  using client = await KeepAliveClient.open(socketPath, AbortSignal.any([]));
  await t.throwsAsync(client.ask('POST', '/', 'body'));
});

test('bench client: an abort ends the request under way with its reason', async (t) => {
  const stop = new AbortController();
  const socketPath = await serve(t, () => stop.abort(new Error('enough')));
  using client = await KeepAliveClient.open(socketPath, stop.signal);
  await t.throwsAsync(client.ask('GET', '/'), { message: 'enough' });
});
