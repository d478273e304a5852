/** A relay that cuts connections: after so many bytes in either direction, as told for each connection in turn. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Dial, dialer } from '../../../../native/channel/transports.ts';
import { temporaryFolder } from './service.ts';

export interface Cut {
  /** Bytes that pass before the connection is cut; undefined for never. */
  readonly up?: number;
  readonly down?: number;
}

export interface Proxy extends AsyncDisposable {
  readonly address: string;
  readonly dial: Dial;
  /** Connections so far, and the bytes that passed on all of them. */
  readonly seen: { connections: number; up: number; down: number };
  /** Cuts all connections that there are. */
  cutNow(): void;
}

export async function startProxy(target: string, nextCut: () => Cut = () => ({})): Promise<Proxy> {
  const folder = temporaryFolder();
  const path = join(folder.path, 'p');
  const seen = { connections: 0, up: 0, down: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    seen.connections += 1;
    const far = connect(target);
    const cut = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', cut).on('close', () => {
        sockets.delete(socket);
        cut();
      });
    }
    const { up, down } = nextCut();
    relay(near, far, up, cut, (bytes) => (seen.up += bytes));
    relay(far, near, down, cut, (bytes) => (seen.down += bytes));
  });
  server.listen(path);
  await once(server, 'listening');
  const cutNow = (): void => sockets.forEach((socket) => socket.destroy());
  return {
    address: `unix://${path}`,
    dial: dialer({ kind: 'unix', path }),
    seen,
    cutNow,
    async [Symbol.asyncDispose]() {
      cutNow();
      server.close();
      await once(server, 'close');
      folder[Symbol.dispose]();
    },
  };
}

function relay(from: Socket, to: Socket, limit: number | undefined, cut: () => void, count: (n: number) => void): void {
  let left = limit ?? Infinity;
  if (left === 0) cut();
  from.on('data', (chunk: Buffer) => {
    if (left === 0) return;
    const passed = chunk.subarray(0, Math.min(left, chunk.length));
    left -= passed.length;
    count(passed.length);
    if (left === 0) to.write(passed, cut);
    else to.write(passed);
  });
}
