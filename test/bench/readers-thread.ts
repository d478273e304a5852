/** The thread of `readers.ts`: says when it is connected, then asks for as long as each message says and tells the times. */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { DriverClient } from './driver-client.ts';
import type { ReadersSetup, ReadTimes } from './readers.ts';

const { socket, clients, names } = workerData as ReadersSetup;
const all: DriverClient[] = [];
for (let number = 0; number < clients; number++) all.push(await DriverClient.open(socket, AbortSignal.any([])));
parentPort?.postMessage('connected');
for (;;) {
  const [ms] = parentPort ? ((await once(parentPort, 'message')) as [number]) : [0];
  parentPort?.postMessage(await askFor(ms));
}

async function askFor(ms: number): Promise<ReadTimes> {
  const times = { list: [] as number[], get: [] as number[] };
  const end = performance.now() + ms;
  const asking = all.map(async (client, number) => {
    for (let turn = number; performance.now() < end; turn++) {
      if (turn % 2 === 0) times.list.push(await client.list());
      else times.get.push(await client.get(names[(turn * 7919) % names.length] ?? ''));
    }
  });
  await Promise.all(asking);
  return times;
}
