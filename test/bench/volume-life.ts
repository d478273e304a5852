/** Volumes' lives through the product's socket, each client one after another and all clients at once. */
import { messageOf } from '../../common/fault.ts';
import type { Batch, BatchRequest } from './floor.ts';
import type { DriverClient } from './driver-client.ts';
import { StepTimes } from './step-times.ts';

let nextName = 0;

/** The clients are there already: connecting is no part of what is measured. */
export async function liveVolumes(
  clients: readonly DriverClient[],
  request: BatchRequest,
  signal: AbortSignal,
): Promise<Batch> {
  const times = new StepTimes();
  let [started, errors] = [0, 0];
  let firstError: string | undefined;
  const worker = async (client: DriverClient): Promise<void> => {
    while (started < request.volumes && !signal.aborted) {
      started++;
      try {
        await liveVolume(client, `bench-${String(nextName++)}`, request.laterPairs, times);
      } catch (error) {
        errors++;
        firstError ??= messageOf(error);
      }
    }
  };
  const start = performance.now();
  await Promise.all(clients.slice(0, request.clients).map(worker));
  const wallSeconds = (performance.now() - start) / 1000;
  signal.throwIfAborted();
  if (firstError !== undefined) console.error(`${String(errors)} volumes failed; the first: ${firstError}`);
  return { steps: times.all, wallSeconds, errors };
}

async function liveVolume(client: DriverClient, name: string, laterPairs: number, times: StepTimes): Promise<void> {
  times.add('create', await client.create(name));
  times.add('first-mount', await client.mount(name, 'first'));
  times.add('first-unmount', await client.unmount(name, 'first'));
  for (let pair = 0; pair < laterPairs; pair++) {
    const id = `later-${String(pair)}`;
    times.add('mount', await client.mount(name, id));
    times.add('unmount', await client.unmount(name, id));
  }
  times.add('remove', await client.remove(name));
}
