import test from 'ava';
import { Delivery } from '../../../native/channel/delivery.ts';
import { turns } from './support/waiting.ts';

interface Mailbox {
  readonly seen: string[];
  readonly delivery: Delivery;
  /** A reply whose reader goes on after so many promises. */
  readonly reply: (name: string, steps?: number) => void;
  readonly event: (name: string) => void;
}

function mailbox(): Mailbox {
  const seen: string[] = [];
  const delivery = new Delivery();
  const read = async (name: string, steps: number): Promise<void> => {
    for (let step = 0; step < steps; step += 1) await Promise.resolve();
    seen.push(name);
  };
  return {
    seen,
    delivery,
    reply: (name, steps = 20) => delivery.reply(() => void read(name, steps)),
    event: (name) => delivery.event(() => seen.push(name)),
  };
}

test('delivery: an event waits until whoever awaits an earlier reply has gone on', async (t) => {
  const { seen, reply, event } = mailbox();
  for (const name of ['a', 'b']) reply(name);
  event('1');
  reply('c');
  event('2');
  await turns(4);
  t.deepEqual(seen, ['a', 'b', '1', 'c', '2']);
});

test('delivery: events that follow no reply are handed over at once', (t) => {
  const { seen, event } = mailbox();
  event('1');
  event('2');
  t.deepEqual(seen, ['1', '2']);
});

test('delivery: when it stops, all that is held is handed over at once, in order', async (t) => {
  const { seen, delivery, reply, event } = mailbox();
  reply('a', 0);
  event('1');
  reply('b', 0);
  delivery.stop();
  t.deepEqual(seen, ['a', '1', 'b']);
  await turns(4);
  t.deepEqual(seen, ['a', '1', 'b']);
});
