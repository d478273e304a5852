/**
 * One request of Docker, from its body to its answer. Invariants: it gets exactly one answer or, where any answer would
 * mislead dockerd, none and a closed connection; nothing is done for a request whose body was lost; a success that its
 * caller never learnt of is taken back; when it ends it is counted and logged once.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { deadline } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type LogFields, type Logger } from '../../common/logging.ts';
import type { VolumeDriver } from '../ports/driver.ts';
import { Caller, sendText } from './caller.ts';
import { type ChangeVerb, type Fields, fieldsOf, type Verb } from './docker-verbs.ts';
import type { PluginMetrics } from './plugin-metrics.ts';
import { BadRequest, MissingBody, parseObject, readBody } from './request-body.ts';

/** What all requests share. */
export interface Door {
  readonly driver: VolumeDriver;
  readonly logger: Logger;
  readonly metrics: PluginMetrics;
}

const bodyLimitBytes = 1024 * 1024;
/** For taking back what the caller never learnt of, when the caller's own time is over. */
const takeBackMs = 60_000;
const noFields: Fields = { name: '', id: '', options: {} };

/** Serves the request to its end; never rejects. */
export async function serve(door: Door, verb: Verb, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const began = performance.now();
  door.metrics.began(verb.name);
  let fields = noFields;
  let failed: unknown;
  try {
    fields = fieldsOf(verb, parsed(verb, await readBody(request, bodyLimitBytes)));
    if (verb.kind === 'read') sendText(response, 200, verb.run(door.driver, fields));
    else await change(door, verb, fields, request, response);
  } catch (error) {
    failed = error;
    refuse(verb, error, request, response);
  }
  const ms = performance.now() - began;
  door.metrics.ended(verb.name, failed === undefined ? 'ok' : faultOf(failed).code, ms);
  logEnd(door.logger, verb, failed, { op: verb.name, volume: fields.name, ms: Math.round(ms * 100) / 100 });
}

async function change(
  { driver, logger }: Door,
  verb: ChangeVerb,
  fields: Fields,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  using caller = new Caller(request, response);
  const body = await verb.run(driver, fields, caller.signal);
  if (await caller.isTold(body)) return;
  await takeBack({ driver, logger }, verb, fields);
  throw new Fault('Cancelled', 'the client hung up before the answer');
}

async function takeBack({ driver, logger }: Omit<Door, 'metrics'>, verb: ChangeVerb, fields: Fields): Promise<void> {
  if (!verb.takeBack) return;
  const about = { op: verb.name, volume: fields.name };
  try {
    using limit = deadline(takeBackMs, `taking back ${verb.name} of ${fields.name}`);
    await verb.takeBack(driver, fields, limit.signal);
    logger.info('taken back, because its caller hung up before the answer', about);
  } catch (error) {
    logger.warn('could not be taken back, although its caller hung up before the answer', {
      ...about,
      ...failureFields(error),
    });
  }
}

/** Where the body says nothing, a lost one is no loss, and answering spares dockerd 15 s of further tries. */
function parsed(verb: Verb, text: string): Readonly<Record<string, unknown>> {
  const isEmpty = text.trim() === '';
  if (verb.reads.length > 0) {
    if (isEmpty) throw new MissingBody();
    return parseObject(text);
  }
  return isEmpty || text.trim() === 'null' ? {} : parseObject(text);
}

function refuse(verb: Verb, error: unknown, request: IncomingMessage, response: ServerResponse): void {
  const fault = faultOf(error);
  if (!mayAnswer(verb, fault) || response.headersSent) request.socket.destroy();
  else sendText(response, error instanceof BadRequest ? error.status : 200, failureBody(fault));
}

function mayAnswer(verb: Verb, fault: Fault): boolean {
  if (fault instanceof MissingBody) return false;
  return verb.answerable?.includes(fault.code) ?? true;
}

/** dockerd takes an empty sentence for success. */
function failureBody(fault: Fault): string {
  return JSON.stringify({ Err: fault.message === '' ? fault.code : fault.message });
}

function logEnd(logger: Logger, verb: Verb, failed: unknown, fields: LogFields): void {
  if (failed === undefined) {
    if (verb.kind === 'change') logger.info('request ended', { ...fields, code: 'ok' });
    else logger.debug('request ended', { ...fields, code: 'ok' });
    return;
  }
  const fault = faultOf(failed);
  const all = { ...fields, ...failureFields(failed) };
  if (fault.class === 'bug') logger.error('request failed', all);
  else if (!mayAnswer(verb, fault)) logger.warn('request was left without an answer', all);
  else if (verb.kind === 'change') logger.info('request failed', all);
  else logger.debug('request failed', all);
}
