/**
 * Docker's list of running containers. Invariants: only the list is asked for, which waits for no container's lock, so
 * that asking can never block what waits for us; an answer that is late, missing or not understood is no answer.
 */
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { Containers } from '../ports/containers.ts';

export interface DockerContainersOptions {
  /** Docker's API socket; undefined when it is not to be asked. */
  readonly socketPath: string | undefined;
  /** The name by which Docker knows this driver; a managed plugin's has a tag besides. */
  readonly driverName: string;
  readonly logger: Logger;
}

const answerMs = 5_000;

/** As far as it matters; Docker tells much more. */
const listSchema = z.array(
  z.object({
    Mounts: z.array(z.object({ Type: z.string(), Name: z.string().optional(), Driver: z.string().optional() })),
  }),
);

export class DockerContainers implements Containers {
  readonly #options: DockerContainersOptions;

  constructor(options: DockerContainersOptions) {
    this.#options = options;
  }

  async volumesInUse(): Promise<readonly string[] | undefined> {
    const { socketPath, driverName, logger } = this.#options;
    if (socketPath === undefined) return undefined;
    try {
      const list = listSchema.parse(JSON.parse(await get(socketPath, '/containers/json')));
      return list
        .flatMap(({ Mounts }) => Mounts)
        .filter(({ Type, Driver }) => Type === 'volume' && isOurs(Driver, driverName))
        .map(({ Name = '' }) => Name);
    } catch (error) {
      logger.debug('Docker does not tell its containers', { socket: socketPath, ...failureFields(error) });
      return undefined;
    }
  }
}

function isOurs(driver: string | undefined, driverName: string): boolean {
  return driver === driverName || driver?.startsWith(`${driverName}:`) === true;
}

async function get(socketPath: string, path: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const asked = request({ socketPath, path, agent: false, signal: AbortSignal.timeout(answerMs) }, (response) => {
    const status = response.statusCode ?? 0;
    text(response).then(
      (body) => (status === 200 ? resolve(body) : reject(new Error(`Docker answered ${status}: ${body}`))),
      reject,
    );
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}
