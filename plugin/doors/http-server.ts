/**
 * The plugin's HTTP server on its Unix socket. Invariants: whoever can reach the socket may do everything, so its file
 * is for its owner alone; once `close` has begun no new connection is taken, requests in flight may end up to a limit,
 * and after it nothing of the server is left.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { abortable, deadline } from '../../common/deadline.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { type ListeningSocket, listenOnSocket } from '../../common/unix-socket.ts';
import { socketOwner } from '../../native/file-lock.ts';

export interface HttpServerOptions {
  readonly path: string;
  readonly logger: Logger;
  /** For how long `close` lets requests in flight go on. */
  readonly closeLimitMs: number;
  /** Of each connection, before anything is read from it. */
  readonly onConnection?: ((connection: Socket) => void) | undefined;
}

/** dockerd keeps idle connections for reuse; to close one costs it a retry if it happens at the wrong moment. */
const keepAliveMs = 3_600_000;
/** How long a client may take for its head and for its whole request: dockerd sends both in one piece. */
const headersMs = 10_000;
const requestMs = 30_000;

export class HttpServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #socket: ListeningSocket;
  readonly #options: HttpServerOptions;
  readonly #connections: ReadonlySet<Socket>;
  #closing: Promise<void> | undefined;

  private constructor(
    server: Server,
    socket: ListeningSocket,
    connections: ReadonlySet<Socket>,
    options: HttpServerOptions,
  ) {
    this.#server = server;
    this.#socket = socket;
    this.#connections = connections;
    this.#options = options;
  }

  /**
   * Listens; resolves when clients can connect.
   * @throws Fault Busy when another plugin listens there
   */
  static async open(listener: RequestListener, options: HttpServerOptions): Promise<HttpServer> {
    const limits = { keepAliveTimeout: keepAliveMs, headersTimeout: headersMs, requestTimeout: requestMs };
    // Old versions of dockerd send an empty Host header, and none is of use here.
    const server = createServer({ ...limits, requireHostHeader: false }, listener);
    const connections = new Set<Socket>();
    server.on('connection', (connection) => {
      // Every request in flight listens for the end of its connection, and a pipeline may hold many.
      connection.setMaxListeners(0);
      connections.add(connection);
      options.onConnection?.(connection);
      connection.once('close', () => connections.delete(connection));
    });
    const socket = await listenOnSocket(server, options.path, { mode: 0o600, ownerOf: socketOwner });
    server.on('error', (error) => options.logger.error('HTTP server failed', failureFields(error)));
    return new HttpServer(server, socket, connections, options);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#server.once('close', () => resolve(undefined));
    await this.#socket.close();
    this.#server.closeIdleConnections();
    // A connection that never asked for anything is not idle to Node; dockerd's probe is one.
    for (const connection of this.#connections) if (connection.bytesRead === 0) connection.destroy();
    using limit = deadline(this.#options.closeLimitMs, 'ending the requests in flight');
    try {
      await abortable(promise, limit.signal);
    } catch (error) {
      this.#options.logger.warn('requests in flight are cut off', failureFields(error));
      this.#server.closeAllConnections();
      await promise;
    }
  }
}
