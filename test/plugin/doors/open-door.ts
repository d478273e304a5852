/** The door before a fake driver, on a socket in a folder of its own; all of it gone when it is disposed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogFields, Logger } from '../../../common/logging.ts';
import { createDockerApp } from '../../../plugin/doors/docker-http.ts';
import { HttpServer } from '../../../plugin/doors/http-server.ts';
import { FakeDriver } from './fake-driver.ts';
import { type Answer, RawClient } from './raw-client.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

export class RecordingLogger implements Logger {
  readonly lines: LogLine[] = [];
  readonly #waiters: { readonly isMeant: (line: LogLine) => boolean; readonly resolve: (line: LogLine) => void }[] = [];

  error(message: string, fields?: LogFields): void {
    this.#note('error', message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#note('warn', message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#note('info', message, fields);
  }
  debug(message: string, fields?: LogFields): void {
    this.#note('debug', message, fields);
  }
  child(): Logger {
    return this;
  }

  /** The first line that is meant, logged already or yet to come. */
  line(isMeant: (line: LogLine) => boolean): Promise<LogLine> {
    const found = this.lines.find(isMeant);
    if (found) return Promise.resolve(found);
    const { promise, resolve } = Promise.withResolvers<LogLine>();
    this.#waiters.push({ isMeant, resolve });
    return promise;
  }

  #note(level: string, message: string, fields: LogFields = {}): void {
    const line = { level, message, fields };
    this.lines.push(line);
    for (const waiter of this.#waiters) if (waiter.isMeant(line)) waiter.resolve(line);
  }
}

export class OpenDoor implements AsyncDisposable {
  readonly driver: FakeDriver;
  readonly logger: RecordingLogger;
  readonly server: HttpServer;
  readonly path: string;
  readonly #folder: string;
  readonly #clients: RawClient[] = [];

  private constructor(driver: FakeDriver, logger: RecordingLogger, server: HttpServer, folder: string) {
    this.driver = driver;
    this.logger = logger;
    this.server = server;
    this.#folder = folder;
    this.path = join(folder, 'vmdk.sock');
  }

  static async open(closeLimitMs = 5_000): Promise<OpenDoor> {
    const folder = await mkdtemp(join(tmpdir(), 'door-'));
    const driver = new FakeDriver();
    driver.volumes.set('db', { options: {}, ids: [] });
    const logger = new RecordingLogger();
    const app = createDockerApp(driver, { logger, commandCounts: () => ({ attach: 3, detach: 2 }), scope: 'global' });
    const server = await HttpServer.open(app, { path: join(folder, 'vmdk.sock'), logger, closeLimitMs });
    return new OpenDoor(driver, logger, server, folder);
  }

  async client(): Promise<RawClient> {
    const client = await RawClient.open(this.path);
    this.#clients.push(client);
    return client;
  }

  /** One request on a connection of its own; undefined when it was left without an answer. */
  async ask(verb: string, body: unknown, headers: readonly string[] = []): Promise<Answer | undefined> {
    using client = await RawClient.open(this.path);
    client.post(verb, typeof body === 'string' ? body : `${JSON.stringify(body)}\n`, headers);
    return await client.answer();
  }

  /** The answer's JSON. */
  async json(verb: string, body: unknown): Promise<unknown> {
    const answer = await this.ask(verb, body);
    return answer && JSON.parse(answer.body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.hangUp();
    await this.server.close();
    await rm(this.#folder, { recursive: true });
  }
}

/** The sentence of a failure. */
export function sentenceOf(answer: Answer | undefined): string {
  const value: unknown = JSON.parse(answer?.body ?? 'null');
  return typeof value === 'object' && value !== null && 'Err' in value ? String(value.Err) : '';
}
