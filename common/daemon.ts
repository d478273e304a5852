/**
 * The life of a daemon: starts what it is given, stops it in order on SIGTERM or SIGINT, and ends the process. A start
 * that fails ends with one line on standard error and the exit code 1; a stop that takes too long ends with 1 as well.
 */
import process from 'node:process';
import { abortable, deadline } from './deadline.ts';
import { Fault, faultOf } from './fault.ts';
import { createLogger, failureFields, type Logger, type LogLevel } from './logging.ts';

export interface DaemonStart {
  /** Aborted when the daemon is asked to stop while it still starts. */
  readonly signal: AbortSignal;
  readonly createLogger: (level: LogLevel) => Logger;
}

/** Service managers kill ten seconds after they asked. */
const stopLimitMs = 10_000;

export async function runDaemon(
  name: string,
  start: (given: DaemonStart) => Promise<{ close(): Promise<void> }>,
): Promise<void> {
  const stop = new AbortController();
  const { promise: asked, resolve } = Promise.withResolvers<undefined>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      stop.abort(new Fault('Cancelled', `stopped by ${signal}`));
      resolve(undefined);
    });
  }
  let logger: Logger | undefined;
  try {
    const running = await start({
      signal: stop.signal,
      createLogger: (level) => (logger = createLogger(level, { daemon: name })),
    });
    await asked;
    logger?.info('stopping');
    using limit = deadline(stopLimitMs, 'stopping');
    await abortable(running.close(), limit.signal);
    process.exitCode = 0;
  } catch (error) {
    const fault = faultOf(error);
    if (fault.class === 'bug') logger?.error('failed', failureFields(error));
    const wasStopped = stop.signal.aborted && fault.class === 'cancelled';
    if (!wasStopped) process.stderr.write(`${name}: ${fault.message}\n`);
    process.exitCode = wasStopped ? 0 : 1;
  }
  // Whatever still holds the event loop is known: the log's stream at most.
  process.exit();
}
