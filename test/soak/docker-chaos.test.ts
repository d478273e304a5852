/**
 * Less than a minute of containers at work while plugin, service, dockerd and containers are killed; one container writes and
 * flushes all the time.
 */
import test from 'ava';
import { dockerStorm } from './docker-storm.ts';

const limitMs = 400_000;

test('chaos: containers keep what they wrote, and go on while plugin, service or a live-restore dockerd is killed', async (t) => {
  t.timeout(limitMs);
  const settings = {
    minutes: 0.3,
    clients: 4,
    volumes: 8,
    isDocker: true,
    isChaos: true,
    seed: 'chaos',
    link: 'hostile',
  } as const;
  const { text, total } = await dockerStorm(settings, new AbortController().signal);
  t.log(text);
  t.true(total > 8, `only ${total} operations`);
});
