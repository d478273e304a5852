/** Asks the admin API of a service on this machine. */
import { request } from 'node:http';
import * as z from 'zod';
import { deadline } from '../../common/deadline.ts';
import { errnoOf, Fault, faultCodes, messageOf } from '../../common/fault.ts';

const defaultTimeoutMs = 10_000;
const errorSchema = z.object({ error: z.object({ code: z.enum(faultCodes), message: z.string() }) });

export interface AskOptions {
  readonly method?: 'GET' | 'POST';
  readonly timeoutMs?: number;
}

/** @throws Fault: the service's own, or HostUnavailable naming the socket */
export async function askService<T>(
  socketPath: string,
  path: string,
  schema: z.ZodType<T>,
  { method = 'GET', timeoutMs = defaultTimeoutMs }: AskOptions = {},
): Promise<T> {
  using limit = deadline(timeoutMs, `asking the service at ${socketPath}`);
  const { status, body } = await send(socketPath, method, path, limit.signal);
  const answer = parse(body);
  if (status === 200) {
    const result = schema.safeParse(answer);
    if (result.success) return result.data;
  }
  const { data } = errorSchema.safeParse(answer);
  if (data) throw new Fault(data.error.code, data.error.message);
  throw new Fault(
    'ProtocolMismatch',
    `the program at ${socketPath} gives answers that are not understood; is it a vmdkopsd of this release?`,
  );
}

async function send(
  socketPath: string,
  method: string,
  path: string,
  signal: AbortSignal,
): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const asked = request({ socketPath, method, path, signal, agent: false }, (response) => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => (body += chunk));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    response.on('error', reject);
  });
  asked.on('error', reject);
  asked.end();
  try {
    return await promise;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const hint =
      errnoOf(error) === 'EACCES' ? 'ask as root' : 'is vmdkopsd running, and is this its admin socket (--socket)?';
    throw new Fault('HostUnavailable', `cannot reach the service at ${socketPath}: ${messageOf(error)}; ${hint}`, {
      cause: error,
    });
  }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
