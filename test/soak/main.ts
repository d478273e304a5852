/**
 * `npm run soak`: a storm against the real programs, held against a model that knows what must be true. It prints what
 * it did, and ends with 1 and the seed at the first violation. All that it starts, mounts or writes is gone at its end,
 * also after Ctrl-C.
 *
 *   npm run soak -- [--minutes M] [--clients N] [--volumes V] [--docker] [--seed S] [--link direct|hostile]
 *
 *   --volumes  private ones in total; a tenth as many more are shared
 *   --docker   through a dockerd of its own, with containers; N of them at a time
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
  console.error(`soak: ${messageOf(error)}`);
  process.exitCode = 1;
}
