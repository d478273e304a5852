/**
 * The life of a daemon: starts what it is given, stops it in order on SIGTERM or SIGINT, and ends the process. A start
 * that fails ends with one line on standard error and the exit code 1; a stop that takes too long ends with 1 as well.
 * Whoever supervises it is told: that it is ready once it has started and not before, that it stops, and why it failed.
 * A managed plugin whose start failed waits to be stopped before it ends: dockerd would start it again at once, and
 * again, and could not tidy up after it.
 */
import process from 'node:process';
import { abortable, deadline } from './deadline.ts';
import { Fault, faultOf } from './fault.ts';
import { createLogger, failureFields, type Logger, type LogLevel } from './logging.ts';

/** Whoever started the daemon and looks after it. Telling it something never waits and never fails. */
export interface Supervisor extends Disposable {
  ready(): void;
  stopping(): void;
  /** One sentence for people: what the daemon does or waits for. */
  status(sentence: string): void;
}

export interface DaemonStart {
  /** Aborted when the daemon is asked to stop while it still starts. */
  readonly signal: AbortSignal;
  readonly createLogger: (level: LogLevel) => Logger;
  readonly status: (sentence: string) => void;
}

export interface DaemonOptions {
  /** Whether dockerd starts and stops it, as one of its plugins. */
  readonly isManagedPlugin?: boolean;
}

/** Service managers kill ten seconds after they asked. */
const stopLimitMs = 10_000;

export async function runDaemon(
  name: string,
  supervisor: Supervisor,
  start: (given: DaemonStart) => Promise<{ close(): Promise<void> }>,
  { isManagedPlugin = false }: DaemonOptions = {},
): Promise<void> {
  const stop = new AbortController();
  const { promise: asked, resolve } = Promise.withResolvers<undefined>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      supervisor.stopping();
      stop.abort(new Fault('Cancelled', `stopped by ${signal}`));
      resolve(undefined);
    });
  }
  let logger: Logger | undefined;
  try {
    const running = await start({
      signal: stop.signal,
      createLogger: (level) => (logger = createLogger(level, { daemon: name }, isManagedPlugin)),
      status: (sentence) => supervisor.status(sentence),
    });
    if (!stop.signal.aborted) supervisor.ready();
    await asked;
    logger?.info('stopping');
    using limit = deadline(stopLimitMs, 'stopping');
    await abortable(running.close(), limit.signal);
    process.exitCode = 0;
  } catch (error) {
    const fault = faultOf(error);
    if (fault.class === 'bug') logger?.error('failed', failureFields(error));
    const wasStopped = stop.signal.aborted && fault.class === 'cancelled';
    if (!wasStopped) {
      process.stderr.write(`${name}: ${fault.message}\n`);
      supervisor.status(fault.message);
    }
    process.exitCode = wasStopped ? 0 : 1;
    if (isManagedPlugin) await stopped(stop.signal);
  }
  supervisor[Symbol.dispose]();
  // Whatever still holds the event loop is known: the log's stream at most.
  process.exit();
}

/** A wait alone would not keep the process: nothing that could end it is under way. */
async function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  signal.addEventListener('abort', () => resolve(undefined));
  const keptAlive = setInterval(() => undefined, stopLimitMs);
  await promise;
  clearInterval(keptAlive);
}
