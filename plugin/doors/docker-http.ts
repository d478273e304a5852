/**
 * The plugin's HTTP face: Docker's verbs, health and metrics on one socket. Invariant: whatever is asked gets an answer
 * in JSON with a sentence for people, never a stack, unless silence is the only truthful answer.
 */
import express from 'express';
import type { Express, NextFunction, Request, Response } from 'express';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { VolumeDriver } from '../ports/driver.ts';
import { sendText } from './caller.ts';
import { serve } from './docker-request.ts';
import { dockerVerbs, type Scope } from './docker-verbs.ts';
import { type CommandCounts, PluginMetrics } from './plugin-metrics.ts';

export interface DockerAppParts {
  readonly logger: Logger;
  readonly commandCounts: CommandCounts;
  readonly scope: Scope;
}

export function createDockerApp(driver: VolumeDriver, { logger, commandCounts, scope }: DockerAppParts): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', false);
  const metrics = new PluginMetrics(driver, commandCounts);
  const door = { driver, logger, metrics };
  for (const verb of dockerVerbs(logger, scope)) {
    app
      .route(verb.path)
      .post((request, response) => serve(door, verb, request, response))
      .all(onlyBy('POST'));
  }
  app.get('/health', (_request, response) => {
    const health = driver.health();
    sendText(response, health.status === 'ok' ? 200 : 503, JSON.stringify(health), 'application/json');
  });
  app.get('/metrics', async (_request, response) => {
    sendText(response, 200, await metrics.text(), metrics.contentType);
  });
  app.all(['/health', '/metrics'], onlyBy('GET'));
  app.use((request: Request, response: Response) => {
    refuse(
      response,
      404,
      `there is nothing at ${request.path}; Docker's verbs, /health and /metrics are what can be asked for`,
    );
  });
  app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    logger.error('request failed outside a verb', failureFields(error));
    if (response.headersSent) next(error);
    else refuse(response, 500, 'the request could not be served; the log of the plugin says why');
  });
  return app;
}

function onlyBy(method: 'GET' | 'POST') {
  return (request: Request, response: Response): void => {
    response.setHeader('Allow', method);
    refuse(response, 405, `${request.path} is asked for by ${method}, not by ${request.method}`);
  };
}

function refuse(response: Response, status: number, sentence: string): void {
  sendText(response, status, JSON.stringify({ Err: sentence }));
}
