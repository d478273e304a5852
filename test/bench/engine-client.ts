/** dockerd's HTTP API as far as a volume's use needs it; without the `docker` program, whose own start would hide it. */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';

export interface NewVolume {
  readonly Name: string;
  readonly Driver: string;
  readonly DriverOpts: Readonly<Record<string, string>>;
}

export class EngineClient implements Disposable {
  readonly #agent: Agent;
  readonly #socketPath: string;
  readonly #signal: AbortSignal;

  constructor(socketPath: string, signal: AbortSignal) {
    this.#agent = new Agent({ keepAlive: true });
    this.#socketPath = socketPath;
    this.#signal = signal;
  }

  async createVolume(volume: NewVolume): Promise<void> {
    await this.#ask('POST', '/volumes/create', volume);
  }

  async removeVolume(name: string): Promise<void> {
    await this.#ask('DELETE', `/volumes/${name}`);
  }

  /** As `docker run --rm --network none -v NAME:/data IMAGE`: resolves when the container is removed. */
  async run(image: string, volume: string): Promise<void> {
    const { Id } = JSON.parse(
      await this.#ask('POST', '/containers/create', {
        Image: image,
        Cmd: ['/bin/true'],
        HostConfig: { AutoRemove: true, NetworkMode: 'none', Binds: [`${volume}:/data`] },
      }),
    ) as { Id: string };
    // Docker's client, too, waits before it starts, so as not to miss the end.
    const removed = await this.#send('POST', `/containers/${Id}/wait?condition=removed`);
    const ended = text(removed);
    await this.#ask('POST', `/containers/${Id}/start`);
    const { StatusCode } = JSON.parse(await ended) as { StatusCode: number };
    if (StatusCode !== 0) throw new Error(`the container ended with ${String(StatusCode)}`);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #ask(method: string, path: string, body?: object): Promise<string> {
    const response = await this.#send(method, path, body);
    const answer = await text(response);
    if ((response.statusCode ?? 500) >= 400) throw new Error(`dockerd refused ${method} ${path}: ${answer}`);
    return answer;
  }

  async #send(method: string, path: string, body?: object): Promise<IncomingMessage> {
    const content = body === undefined ? '' : JSON.stringify(body);
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(content) };
    const asked = request({
      socketPath: this.#socketPath,
      agent: this.#agent,
      method,
      path,
      headers,
      signal: this.#signal,
    });
    asked.end(content);
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return response;
  }
}
