/** Most of a minute of a storm in which plugin and service are killed again and again, alone and together. */
import test from 'ava';
import { storm } from './storm.ts';

const limitMs = 400_000;

test('chaos: whatever is killed when, what was answered stays true, nothing is left, and all comes back by itself', async (t) => {
  t.timeout(limitMs);
  const settings = {
    minutes: 0.75,
    clients: 40,
    volumes: 80,
    isDocker: false,
    isChaos: true,
    seed: 'chaos',
    link: 'hostile',
  } as const;
  const { text, total } = await storm(settings, new AbortController().signal);
  t.log(text);
  t.true(total > 300, `only ${total} operations`);
});
