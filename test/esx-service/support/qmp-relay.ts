/**
 * Between a service and a real QEMU's QMP socket: can cut the connection, and keep commands or answers to itself. One
 * client at a time, as QEMU has it.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { ExecutionContext } from 'ava';

export interface QmpRelay {
  readonly path: string;
  /** Connections so far. */
  readonly connections: () => number;
  cut(): void;
  /** From now on, answers to that command are not passed on; resolves when the first of them was kept. */
  keepAnswersTo(command: string): Promise<void>;
  passAll(): void;
}

export async function relayTo(t: ExecutionContext, qmp: string, path: string): Promise<QmpRelay> {
  const open = new Set<Socket>();
  let connections = 0;
  let kept: { readonly command: string; readonly resolve: () => void } | undefined;
  const server = createServer((client) => {
    connections += 1;
    const qemu = connect(qmp);
    const silent = new Set<number>();
    for (const socket of [client, qemu]) {
      open.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => {
          client.destroy();
          qemu.destroy();
          open.delete(socket);
        });
    }
    eachLine(client, (line) => {
      const { execute, id } = JSON.parse(line) as { execute: string; id: number };
      if (execute === kept?.command) silent.add(id);
      qemu.write(`${line}\n`);
    });
    eachLine(qemu, (line) => {
      const { id } = JSON.parse(line) as { id?: number };
      if (id === undefined || !silent.has(id)) client.write(`${line}\n`);
      else kept?.resolve();
    });
  });
  server.listen(path);
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  t.teardown(() => {
    server.close();
    cut();
  });
  return {
    path,
    connections: () => connections,
    cut,
    keepAnswersTo(command) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      kept = { command, resolve: () => resolve(undefined) };
      return promise;
    },
    passAll: () => (kept = undefined),
  };
}

function eachLine(socket: Socket, take: (line: string) => void): void {
  let rest = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
}
