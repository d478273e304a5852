/**
 * The body of a request, whatever its headers say of it: dockerd names no content type. Invariant: a body is handed on
 * only when it has arrived whole, and never more of it is kept than the limit.
 */
import type { IncomingMessage } from 'node:http';
import { Fault } from '../../common/fault.ts';

/** What is received in full of a body that is too large, so that its sender can read the refusal, before it is cut off. */
const drainedBodies = 16;

/** A refusal of the request's form, with the HTTP status that fits; nothing was asked of the driver. */
export class BadRequest extends Fault {
  readonly status: number;

  constructor(status: number, message: string) {
    super('InvalidRequest', message);
    this.status = status;
  }
}

/**
 * A request without the body that it needs. dockerd repeats a request whose connection was cut with its body lost, and
 * would take even a refusal for the answer to the first try.
 */
export class MissingBody extends Fault {
  constructor() {
    super(
      'OutcomeUnknown',
      'the request has no body, like the repeat of a lost one; it is neither acted on nor answered',
    );
  }
}

/**
 * The text of the body, empty when there was none.
 * @throws BadRequest when it is too large; Fault Cancelled when the client hung up before it was whole
 */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limitBytes) chunks.push(chunk);
    else chunks.length = 0;
    if (size > limitBytes * drainedBodies) request.destroy();
  });
  request.once('end', () => {
    if (size > limitBytes) reject(new BadRequest(413, `the request's body is larger than ${String(limitBytes)} bytes`));
    else resolve(textOf(chunks));
  });
  const cutOff = (): void => {
    if (!request.complete) reject(new Fault('Cancelled', 'the client hung up before its request was complete'));
  };
  request.once('error', cutOff);
  request.once('close', cutOff);
  return promise;
}

function textOf(chunks: readonly Buffer[]): string {
  const [first] = chunks;
  return first !== undefined && chunks.length === 1 ? first.toString() : Buffer.concat(chunks).toString();
}

/** @throws BadRequest when the text is no JSON object */
export function parseObject(text: string): Readonly<Record<string, unknown>> {
  const value = parse(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new BadRequest(400, 'the request is not a JSON object');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequest(400, 'the request is not valid JSON');
  }
}
