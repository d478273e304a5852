/** A whole service with its sockets, and clients of it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { ExecutionContext } from 'ava';
import { silentLogger } from '../../../common/logging.ts';
import { type RunningService, startService } from '../../../esx-service/compose.ts';
import { serviceConfigSchema } from '../../../esx-service/config.ts';
import { ChannelClient, type ClientOptions } from '../../../native/channel/client.ts';
import { encodeFrame, FrameDecoder } from '../../../native/channel/frame.ts';
import { dialer } from '../../../native/channel/transports.ts';
import type { Place } from './place.ts';

export interface Running {
  readonly service: RunningService;
  readonly adminSocket: string;
  readonly socketOf: (vm: string) => string;
  readonly client: (vm: string, options?: Partial<ClientOptions>) => ChannelClient;
  /** One request of version 2, and its reply. */
  readonly askV2: (
    vm: string,
    cmd: string,
    name?: string,
    options?: Readonly<Record<string, string>>,
  ) => Promise<unknown>;
}

/** VMs alpha and beta; datastore `local`, and `spare`, which is beta's default. */
export function configIn(at: Place): Record<string, unknown> {
  return {
    datastores: { local: at.path('local'), spare: at.path('spare') },
    defaultDatastore: 'local',
    vms: [
      { name: 'alpha', socket: at.path('alpha.sock') },
      { name: 'beta', socket: at.path('beta.sock'), defaultDatastore: 'Spare' },
    ],
    adminSocket: at.path('admin.sock'),
  };
}

export async function startRunning(
  t: ExecutionContext,
  at: Place,
  config: Readonly<Record<string, unknown>> = {},
): Promise<Running> {
  const service = await startService(serviceConfigSchema.parse({ ...configIn(at), ...config }), {
    logger: silentLogger,
  });
  t.teardown(() => service.close());
  return { service, ...clientsOf(t, at) };
}

export function clientsOf(t: ExecutionContext, at: Place): Omit<Running, 'service'> {
  const socketOf = (vm: string): string => at.path(`${vm}.sock`);
  return {
    adminSocket: at.path('admin.sock'),
    socketOf,
    client(vm, options) {
      const path = socketOf(vm);
      const client = ChannelClient.open({
        address: `unix://${path}`,
        dial: dialer({ kind: 'unix', path }),
        hello: { versions: [3], clientVersion: 'test', bootId: 'boot' },
        logger: silentLogger,
        backoff: { minMs: 1, maxMs: 5 },
        ...options,
      });
      t.teardown(() => client.close());
      return client;
    },
    async askV2(vm, cmd, name, options) {
      const socket = connect(socketOf(vm));
      const decoder = new FrameDecoder();
      let reply: unknown;
      socket.on('data', (chunk: Buffer) => decoder.push(chunk, (message) => (reply = message)));
      socket.write(encodeFrame({ cmd, details: { Name: name, Opts: options }, version: '2' }));
      await once(socket, 'close');
      return reply;
    },
  };
}
