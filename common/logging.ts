/**
 * Logs: one JSON line per event on standard error, with a fixed message and fields. A logger is handed down, never
 * imported as a global; only faults of class *bug* carry a stack. Where a supervisor takes all of standard error for
 * errors, what is none goes to standard output.
 */
import winston from 'winston';
import { type Fault, faultOf } from './fault.ts';

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each of its lines. */
  child(fields: LogFields): Logger;
}

/** @param isSplit whether only warnings and errors go to standard error */
export function createLogger(level: LogLevel, fields: LogFields = {}, isSplit = false): Logger {
  const { combine, timestamp, json } = winston.format;
  const root = winston.createLogger({
    level,
    format: combine(timestamp(), json()),
    transports: [new winston.transports.Console({ stderrLevels: isSplit ? ['error', 'warn'] : [...logLevels] })],
  });
  return leveled(root, level, fields);
}

/** A line below the level costs nothing: winston would format it before it drops it. */
function leveled(root: winston.Logger, level: LogLevel, fields: LogFields): Logger {
  const lowest = logLevels.indexOf(level);
  const method = (name: LogLevel): Logger[LogLevel] =>
    logLevels.indexOf(name) > lowest
      ? () => undefined
      : (message, more) => {
          root.log(name, message, { ...fields, ...more });
        };
  return {
    error: method('error'),
    warn: method('warn'),
    info: method('info'),
    debug: method('debug'),
    child: (more) => leveled(root, level, { ...fields, ...more }),
  };
}

/** Drops everything; for tests whose subject is not the log. */
export const silentLogger: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silentLogger,
};

/** The fields that a log line says of a failure: code and sentence, the causes, and a stack only for bugs. */
export function failureFields(error: unknown): LogFields {
  const fault = faultOf(error);
  const fields = { code: fault.code, error: fault.message, cause: causeOf(fault) };
  return fault.class === 'bug' ? { ...fields, stack: error instanceof Error ? error.stack : undefined } : fields;
}

function causeOf(fault: Fault): string | undefined {
  const { cause } = fault;
  return cause instanceof Error && cause.message !== fault.message ? cause.message : undefined;
}
