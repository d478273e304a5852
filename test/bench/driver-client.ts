/** Docker's verbs on one connection. Each call gives the milliseconds it took, and fails when the answer is a failure. */
import { KeepAliveClient, type Reply } from './keep-alive-client.ts';

export class DriverClient implements Disposable {
  readonly #connection: KeepAliveClient;

  private constructor(connection: KeepAliveClient) {
    this.#connection = connection;
  }

  static async open(socketPath: string, signal: AbortSignal): Promise<DriverClient> {
    return new DriverClient(await KeepAliveClient.open(socketPath, signal));
  }

  activate = (): Promise<number> => this.#ask('/Plugin.Activate', '');
  capabilities = (): Promise<number> => this.#ask('/VolumeDriver.Capabilities', '{}');
  list = (): Promise<number> => this.#ask('/VolumeDriver.List', '{}');
  get = (name: string): Promise<number> => this.#ask('/VolumeDriver.Get', JSON.stringify({ Name: name }));
  path = (name: string): Promise<number> => this.#ask('/VolumeDriver.Path', JSON.stringify({ Name: name }));
  remove = (name: string): Promise<number> => this.#ask('/VolumeDriver.Remove', JSON.stringify({ Name: name }));
  create = (name: string, options: Readonly<Record<string, string>> = { size: '100mb' }): Promise<number> =>
    this.#ask('/VolumeDriver.Create', JSON.stringify({ Name: name, Opts: options }));
  mount = (name: string, id: string): Promise<number> =>
    this.#ask('/VolumeDriver.Mount', JSON.stringify({ Name: name, ID: id }));
  unmount = (name: string, id: string): Promise<number> =>
    this.#ask('/VolumeDriver.Unmount', JSON.stringify({ Name: name, ID: id }));

  /** How many volumes a list names. */
  async countListed(): Promise<number> {
    const { body } = await this.#connection.ask('POST', '/VolumeDriver.List', '{}');
    return (JSON.parse(body.toString()) as { Volumes: unknown[] }).Volumes.length;
  }

  /** Volumes that are mounted with exactly one reference. */
  async countMounted(): Promise<number> {
    const { body } = await this.#connection.ask('GET', '/health');
    const { mounted } = JSON.parse(body.toString()) as { mounted: { references: unknown[] }[] };
    return mounted.filter(({ references }) => references.length === 1).length;
  }

  /** Commands sent to the service so far, by name. */
  commandCounts(): Promise<ReadonlyMap<string, number>> {
    return this.#metric(/^vmdk_plugin_channel_commands_total\{command="(\w+)"\} (\d+)/gm);
  }

  /** Requests of Docker that are being worked on, by verb. */
  inFlight(): Promise<ReadonlyMap<string, number>> {
    return this.#metric(/^vmdk_plugin_requests_in_flight\{verb="(\w+)"\} (\d+)/gm);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async #metric(line: RegExp): Promise<ReadonlyMap<string, number>> {
    const { body } = await this.#connection.ask('GET', '/metrics');
    return new Map([...body.toString().matchAll(line)].map(([, label = '', count]) => [label, Number(count)]));
  }

  async #ask(path: string, body: string): Promise<number> {
    const reply = await this.#connection.ask('POST', path, body);
    checkAnswer(path, body, reply);
    return reply.ms;
  }
}

/** Every success is a small object, or a list whose end shows that it is one. */
function checkAnswer(path: string, request: string, { status, body }: Reply): void {
  const end = body.toString('utf8', Math.max(0, body.length - 400));
  const isFailed = status !== 200 || (end.includes('"Err":"') && !end.includes('"Err":""'));
  if (isFailed) throw new Error(`${path} ${request} was answered ${String(status)} ${end}`);
}
