/**
 * The administrator's view, as JSON over HTTP: `GET /v1/status`, `/v1/volumes`, `/v1/volumes/NAME`, and `POST /v1/check`,
 * which looks and mends. Invariants: all others read memory only, so they answer whatever the disks do; every answer is
 * JSON, and a failure never shows more than its
 * sentence. Who may ask is decided by the mode of the socket's file.
 */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { Fault, type FaultClass, faultOf } from '../../common/fault.ts';
import { failureFields } from '../../common/logging.ts';
import type { CheckReport } from '../core/check-report.ts';
import { existing, type Service } from '../service/service.ts';
import type { ServiceStatus } from '../service/status.ts';

export interface AdminSources {
  readonly service: Service;
  readonly defaultDatastore: string;
  readonly status: () => ServiceStatus;
  readonly check: () => Promise<CheckReport>;
}

const httpStatus: Readonly<Record<FaultClass, number>> = {
  invalid: 400,
  missing: 404,
  conflict: 409,
  busy: 503,
  full: 507,
  unreachable: 503,
  unsure: 504,
  cancelled: 499,
  bug: 500,
};

export function adminApi({ service, defaultDatastore, status, check }: AdminSources): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.get('/v1/status', (_request, response) => {
    response.json(status());
  });
  app.get('/v1/volumes', (_request, response) => {
    response.json({ volumes: service.catalog.view.records.map(({ volume }) => volume) });
  });
  app.get('/v1/volumes/:name', (request, response) => {
    const { full } = service.datastores.resolve(request.params.name, defaultDatastore);
    response.json({ volume: existing(service, full).volume });
  });
  app.post('/v1/check', async (_request, response) => {
    response.json(await check());
  });
  app.use(unknownAddress);
  app.use(failure(service));
  return app;
}

const unknownAddress: RequestHandler = ({ method, path }) => {
  const known = 'GET /v1/status, GET /v1/volumes, GET /v1/volumes/NAME, POST /v1/check';
  throw new Fault('InvalidRequest', `${method} ${path} is not known; known are ${known}`);
};

function failure({ logger }: Service): ErrorRequestHandler {
  return (error: unknown, _request, response, next) => {
    // A half-sent answer can only be cut off.
    if (response.headersSent) {
      next(error);
      return;
    }
    const fault =
      error instanceof URIError ? new Fault('InvalidRequest', 'the address is not well-formed') : faultOf(error);
    if (fault.class === 'bug') logger.error('an administrator request failed unexpectedly', failureFields(error));
    const message = fault.class === 'bug' ? 'the service failed unexpectedly; its log says why' : fault.message;
    response.status(httpStatus[fault.class]).json({ error: { code: fault.code, message } });
  };
}
