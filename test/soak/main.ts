/**
 * `npm run soak`: a storm against the real programs, held against a model that knows what must be true. It prints what
 * it did, and ends with 1 and the seed at the first violation. All that it starts, mounts or writes is gone at its end,
 * also after Ctrl-C.
 *
 *   npm run soak -- [--minutes M] [--clients N] [--volumes V] [--docker] [--chaos] [--seed S] [--link direct|hostile]
 *
 *   --volumes  private ones in total; a tenth as many more are shared
 *   --docker   through a dockerd of its own, with containers; N of them at a time
 *   --chaos    the programs are killed again and again meanwhile, and must come back by themselves
 *   --seed     makes the same schedule as the run that printed it
 *   --link     what is between plugin and service
 */
import { randomBytes } from 'node:crypto';
import { messageOf } from '../../common/fault.ts';
import { dockerStorm } from './docker-storm.ts';
import { readSettings } from './settings.ts';
import { storm } from './storm.ts';

const stopped = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => stopped.abort(new Error(`stopped by ${name}`)));
}
try {
  const settings = readSettings(process.argv.slice(2), randomBytes(4).toString('hex'));
  console.error(`soak: seed ${settings.seed}`);
  const run = settings.isDocker ? dockerStorm : storm;
  console.log((await run(settings, stopped.signal)).text);
} catch (error) {
  for (const one of allIn(error)) console.error(`soak: ${messageOf(one)}`);
  process.exitCode = 1;
}

/** What went wrong first comes first, then what the clean-up after it met. */
function allIn(error: unknown): readonly unknown[] {
  return error instanceof SuppressedError ? [...allIn(error.suppressed), ...allIn(error.error)] : [error];
}
