/** A process that answers as the volume driver that does nothing, for what the machine and the protocol cost alone. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Daemon } from '../docker/harness/daemon.ts';
import { DriverClient } from './driver-client.ts';
import type { TestBed } from './test-bed.ts';

const program = fileURLToPath(new URL('./nothing-program.ts', import.meta.url));
const startTimeoutMs = 10_000;

export interface NothingServer extends AsyncDisposable {
  readonly socket: string;
}

/** @param names of the volumes that it lists */
export async function startNothing(
  bed: TestBed,
  names: readonly string[],
  signal: AbortSignal,
): Promise<NothingServer> {
  const folder = bed.path('nothing');
  await mkdir(folder);
  const socket = join(folder, 'nothing.sock');
  const command = [process.execPath, program, socket] as const;
  const daemon = await Daemon.start({ name: 'nothing', command, env: process.env, logFile: join(folder, 'log') });
  await using opened = new AsyncDisposableStack();
  opened.use(daemon);
  const isListening = (): Promise<boolean> =>
    DriverClient.open(socket, signal).then(
      (client) => {
        client[Symbol.dispose]();
        return true;
      },
      () => false,
    );
  await daemon.waitUntil(isListening, startTimeoutMs);
  using client = await DriverClient.open(socket, signal);
  for (const name of names) await client.create(name);
  const stack = opened.move();
  return { socket, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
