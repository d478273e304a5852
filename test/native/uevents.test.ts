import test from 'ava';
import { deadline, abortable } from '../../common/deadline.ts';
import { detachLoop } from '../../native/loop-devices.ts';
import type { Uevent } from '../../native/uevent-records.ts';
import { UeventListener } from '../../native/uevents.ts';
import { eventually, nativeThreads, openSockets } from './support/process-state.ts';
import { scratch } from './support/scratch.ts';

const diskBytes = 1024 * 1024;

function first(listener: UeventListener, isWanted: (event: Uevent) => boolean): Promise<Uevent> {
  const { promise, resolve } = Promise.withResolvers<Uevent>();
  listener.subscribe((event) => {
    if (event !== 'overflow' && isWanted(event)) resolve(event);
  });
  return promise;
}

test.serial('uevents: an attached loop device is announced with its sequence', async (t) => {
  const place = await scratch(t);
  const backingPath = await place.sparseFile('disk', diskBytes);
  using listener = UeventListener.open();
  const seen: Uevent[] = [];
  listener.subscribe((event) => {
    if (event !== 'overflow') seen.push(event);
  });
  const loop = await place.attach({ backingPath });
  const isOurs = (event: Uevent): boolean => event.properties.get('DISKSEQ') === String(loop.diskSequence);
  const later = first(listener, isOurs);
  using limit = deadline(10_000, 'the event');
  t.like(seen.find(isOurs) ?? (await abortable(later, limit.signal)), {
    action: 'change',
    subsystem: 'block',
    devpath: `/devices/virtual/block/loop${loop.number}`,
  });
});

test.serial('uevents: every subscriber is told until it is disposed', async (t) => {
  const place = await scratch(t);
  const backingPath = await place.sparseFile('disk', diskBytes);
  using listener = UeventListener.open();
  let count = 0;
  const early = listener.subscribe(() => count++);
  const told = first(listener, (event) => event.subsystem === 'block');
  const loop = await place.attach({ backingPath });
  using limit = deadline(10_000, 'the event');
  await abortable(told, limit.signal);
  t.true(count > 0);
  early[Symbol.dispose]();
  const before = count;
  const next = first(listener, (event) => event.subsystem === 'block');
  await detachLoop(loop.path, loop.diskSequence);
  await place.attach({ backingPath });
  await abortable(next, limit.signal);
  t.is(count, before);
});

test.serial('uevents: closing leaves no thread and no socket', async (t) => {
  const before = await openSockets();
  const listeners = Array.from({ length: 20 }, () => UeventListener.open());
  await eventually('the threads to start', async () => (await nativeThreads()).length === 20);
  for (const listener of listeners) {
    listener.close();
    listener.close();
  }
  await eventually('the threads to end', async () => (await nativeThreads()).length === 0);
  await eventually('the sockets to close', async () => (await openSockets()) <= before);
  t.is(listeners.length, 20);
});
