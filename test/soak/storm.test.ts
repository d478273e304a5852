/** A minute of a storm: a hundred clients, shared and private volumes, and a link as bad as a link can be. */
import test from 'ava';
import { storm } from './storm.ts';

const limitMs = 240_000;

test('storm: 100 clients on 20 shared and 200 private volumes over a hostile link lose, mix up and leave nothing', async (t) => {
  t.timeout(limitMs);
  const settings = {
    minutes: 1,
    clients: 100,
    volumes: 200,
    isDocker: false,
    isChaos: false,
    seed: 'storm',
    link: 'hostile',
  } as const;
  const { text, total } = await storm(settings, new AbortController().signal);
  t.log(text);
  t.true(total > 1000, `only ${total} operations`);
});
