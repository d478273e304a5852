/** A service for tests, and clients of it: real server, real Unix socket, handlers that answer anything. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newDiskUuid } from '../../../../common/disk-uuid.ts';
import { type Logger, silentLogger } from '../../../../common/logging.ts';
import { ChannelClient, type ClientOptions } from '../../../../native/channel/client.ts';
import type { Args, Reply, Volume } from '../../../../native/channel/contract.ts';
import { ChannelServer, type ServerLimits } from '../../../../native/channel/server.ts';
import type { Handlers, V2Handler } from '../../../../native/channel/session.ts';
import { type Dial, dialer, listen, type Listener, type Vm } from '../../../../native/channel/transports.ts';

export const vm = { id: 'vm-1', name: 'alpha' } as const;
export const hello: Args<'hello'> = { versions: [3], clientVersion: '1.0.0', bootId: 'boot', saidAtUs: 0 };

export const createArgs = (name: string): Args<'create'> => ({
  name,
  diskformat: 'thin',
  access: 'read-write',
  attachAs: 'independent_persistent',
  mountOptions: [],
  root: {},
});

export const volume = (name: string): Volume => ({
  name,
  datastore: 'local',
  uuid: newDiskUuid(randomUUID()),
  isNamedInFull: false,
  sizeBytes: 1024,
  allocatedBytes: 0,
  diskformat: 'thin',
  access: 'read-write',
  attachAs: 'independent_persistent',
  mountOptions: [],
  createdAt: '2018-03-01T09:05:00.000Z',
  createdBy: 'alpha',
});

export const helloReply = (instanceId: string): Reply<'hello'> => ({
  version: 3,
  vm,
  serviceVersion: '1.0.0',
  instanceId,
  defaultDatastore: 'local',
  datastores: ['local'],
  attached: [],
});

/** Answers all commands at once. */
export function handlersWith(overrides: Partial<Handlers> = {}, instanceId: string = randomUUID()): Handlers {
  return {
    hello: () => helloReply(instanceId),
    create: (_session, { name }) => ({ volume: volume(name) }),
    remove: () => ({}),
    attach: (_session, { name }) => ({
      volume: volume(name),
      device: { kind: 'loop', path: '/dev/loop0', diskSequence: 1 },
      isReadOnly: false,
      isFormatted: true,
      isFreshClone: false,
      root: {},
    }),
    detach: () => ({}),
    get: (_session, { name }) => ({ volume: volume(name) }),
    list: () => ({ volumes: [] }),
    watch: () => ({ sequence: 0 }),
    ping: () => ({}),
    ...overrides,
  };
}

export interface TestService extends AsyncDisposable {
  readonly server: ChannelServer;
  readonly address: string;
  readonly path: string;
  readonly dial: Dial;
  readonly listener: Listener;
}

export interface ServiceOptions {
  readonly handlers?: Partial<Handlers>;
  readonly protocolV2?: V2Handler;
  readonly limits?: Partial<ServerLimits>;
  readonly path?: string;
  readonly now?: () => number;
  readonly logger?: Logger;
  /** Another door to that server, for another VM. */
  readonly server?: ChannelServer;
  readonly vm?: Vm;
}

export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'channel-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export async function startService(options: ServiceOptions = {}): Promise<TestService> {
  const folder = temporaryFolder();
  const path = options.path ?? join(folder.path, 's');
  const server =
    options.server ??
    new ChannelServer({
      handlers: handlersWith(options.handlers),
      protocolV2: options.protocolV2,
      logger: options.logger ?? silentLogger,
      limits: { closeGraceMs: 200, ...options.limits },
      ...(options.now && { now: options.now }),
    });
  const address = { kind: 'unix', path } as const;
  const listener = await listen(address, {
    identify: () => options.vm ?? vm,
    onConnection: (stream, peer) => server.serve(stream, peer),
    logger: silentLogger,
  });
  return {
    server,
    listener,
    path,
    address: `unix://${path}`,
    dial: dialer(address),
    async [Symbol.asyncDispose]() {
      await listener.close();
      await server.close();
      folder[Symbol.dispose]();
    },
  };
}

export function openClient(
  service: { readonly address: string; readonly dial: Dial },
  options: Partial<ClientOptions> = {},
): ChannelClient {
  return ChannelClient.open({
    address: service.address,
    dial: service.dial,
    hello,
    logger: silentLogger,
    backoff: { minMs: 1, maxMs: 10 },
    ...options,
  });
}
