/** One question to an HTTP socket of the product, and its JSON answer whatever its status. */
import { request } from 'node:http';
import { text } from 'node:stream/consumers';

const timeoutMs = 10_000;

export function getJson(socketPath: string, path: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const asked = request({ socketPath, path, timeout: timeoutMs, agent: false }, (response) => {
    text(response).then((body) => resolve(JSON.parse(body)), reject);
  });
  asked.once('timeout', () => asked.destroy(new Error(`${path} was not answered within ${timeoutMs} ms`)));
  asked.once('error', reject);
  asked.end();
  return promise;
}
