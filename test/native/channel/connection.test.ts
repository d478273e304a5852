/** What one end of a connection costs others, and itself, when the other end sends much or reads nothing. */
import { Duplex } from 'node:stream';
import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { silentLogger } from '../../../common/logging.ts';
import { Connection } from '../../../native/channel/connection.ts';
import { encodeFrame } from '../../../native/channel/frame.ts';
import { ask, greeted, request } from './support/requests.ts';
import { startService } from './support/service.ts';
import { until } from './support/waiting.ts';

const chunkBytes = 64 * 1024;

/** A peer that always has more to say, up to so many chunks. */
function flood(chunks: number): { readonly stream: Duplex; readonly messages: number } {
  const frame = encodeFrame({ text: 'x'.repeat(1000) });
  const perChunk = Math.floor(chunkBytes / frame.length);
  const chunk = Buffer.concat(Array.from({ length: perChunk }, () => frame));
  let left = chunks;
  const stream = new Duplex({
    read() {
      if (left > 0) this.push(chunk);
      left -= 1;
    },
    write: (_chunk, _encoding, done) => done(),
  });
  return { stream, messages: chunks * perChunk };
}

test('connection: a peer that floods is read a chunk at a time, with turns for others in between', async (t) => {
  const { stream, messages } = flood(50);
  let seen = 0;
  let most = 0;
  let atTurn = 0;
  const connection = new Connection(stream, {
    logger: silentLogger,
    takesTurns: true,
    onMessage: () => {
      seen += 1;
      most = Math.max(most, seen - atTurn);
    },
  });
  await until(() => {
    atTurn = seen;
    return seen === messages;
  });
  t.true(most <= (2 * messages) / 50, `${most} of ${messages} messages in one turn`);
  t.false(connection.closed.aborted);
  stream.destroy();
});

test('connection: a peer that asks and does not read is not read meanwhile, and gets all its answers later', async (t) => {
  await using service = await startService({ limits: { maxQueuedBytes: 512 * 1024 } });
  const peer = await greeted(service);
  peer.socket.pause();
  const count = 20_000;
  for (let id = 1; id <= count; id += 1) peer.send(request(id, 'get', { name: 'a' }));
  const other = await greeted(service);
  t.like(await ask(other, request(1, 'get', { name: 'b' })), { id: 1, ok: { volume: { name: 'b' } } });
  peer.socket.resume();
  for (let id = 1; id <= count; id += 1) {
    const answer = await peer.next();
    if ((answer as { id: number }).id !== id) t.fail(`${JSON.stringify(answer)} in place of ${id}`);
  }
  t.is(service.server.size.sessions, 2);
});

test('connection: a peer that asks and never reads is left in the end', async (t) => {
  await using service = await startService({ limits: { frameTimeoutMs: 1_000 } });
  const peer = await greeted(service);
  peer.socket.pause();
  for (let id = 1; id <= 20_000; id += 1) peer.send(request(id, 'get', { name: 'a' }));
  t.is(service.server.size.sessions, 1);
  await until(() => service.server.size.sessions === 0);
});

/** A peer that says these chunks and then nothing more, and takes nothing before it is told to. */
function deaf(chunks: readonly Buffer[]): { stream: Duplex; said: () => number; listen: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let said = 0;
  const stream = new Duplex({
    highWaterMark: 1,
    read() {
      const chunk = chunks[said];
      if (!chunk) return;
      said += 1;
      this.push(chunk);
    },
    write: (_chunk, _encoding, done) => void promise.then(() => done()),
  });
  const listen = (): void => resolve(undefined);
  return { stream, said: () => said, listen };
}

const asking = encodeFrame({ text: 'ask' });

function answering(stream: Duplex): Connection {
  const connection: Connection = new Connection(stream, {
    logger: silentLogger,
    takesTurns: true,
    frameTimeoutMs: 100,
    onMessage: (message) => connection.send(message),
  });
  return connection;
}

async function endOf({ closed }: Connection): Promise<string> {
  await until(() => closed.aborted);
  return (closed.reason as Error).message;
}

test('connection: a peer that asks in whole frames and takes no answer is told from one that does not finish a frame', async (t) => {
  const { stream } = deaf([asking]);
  t.regex(await endOf(answering(stream)), /^the peer did not take what it was sent within/);
});

test('connection: the time for a frame begins again when its sender has taken what it was sent', async (t) => {
  const { stream, listen } = deaf([Buffer.concat([asking, asking.subarray(0, 6)])]);
  const connection = answering(stream);
  await until(() => stream.writableNeedDrain);
  listen();
  t.regex(await endOf(connection), /^the peer did not complete a frame within/);
});

test('connection: what comes in while the last messages leave is taken, so that closing does not cut them off', async (t) => {
  const { stream, said, listen } = deaf([asking, asking, asking, asking]);
  const connection = answering(stream);
  await until(() => stream.isPaused());
  t.true(said() < 4);
  connection.end(new Fault('HostUnavailable', 'enough'));
  await until(() => said() === 4);
  listen();
  t.is(await endOf(connection), 'enough');
});
