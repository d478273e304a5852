/** Half a minute of a storm through a real dockerd, with eight containers at work at a time. */
import test from 'ava';
import { dockerStorm } from './docker-storm.ts';

const limitMs = 240_000;

test('storm: containers on shared and private volumes over a hostile link lose, mix up and leave nothing', async (t) => {
  t.timeout(limitMs);
  const settings = {
    minutes: 0.4,
    clients: 8,
    volumes: 16,
    isDocker: true,
    isChaos: false,
    seed: 'storm',
    link: 'hostile',
  } as const;
  const { text, total } = await dockerStorm(settings, new AbortController().signal);
  t.log(text);
  t.true(total > 40, `only ${total} operations`);
});
