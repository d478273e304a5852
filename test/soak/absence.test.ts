/** A service that is killed in a storm and does not come back for a minute: what asked for it waits, repeats and goes on. */
import test from 'ava';
import { type Killed, storm } from './storm.ts';
import type { Schedule } from './strikes.ts';

const limitMs = 400_000;
const absentMs = 60_000;
const longMs = 3_600_000;

/** One blow, soon after the storm has begun. */
function absence(): Schedule<Killed> {
  let isOver = false;
  return {
    next() {
      if (isOver) return { afterMs: longMs, blows: [] };
      isOver = true;
      return { afterMs: 500, blows: [{ victim: 'service', holdMs: 0, downMs: absentMs, again: [] }] };
    },
  };
}

test('absence: a storm goes on where it was when the service comes back after a minute', async (t) => {
  t.timeout(limitMs);
  const settings = {
    minutes: 1.2,
    clients: 40,
    volumes: 80,
    isDocker: false,
    isChaos: true,
    seed: 'absence',
    link: 'hostile',
  } as const;
  const { text, total } = await storm(settings, new AbortController().signal, absence());
  t.log(text);
  t.true(total > 300, `only ${total} operations`);
});
