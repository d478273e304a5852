/**
 * What it saves that changes waiting for one VM go to the hypervisor together: the same attaches one by one and through
 * the service's `Reconfigurations`, with a hypervisor that takes its time for each call, however much is in it.
 */
import { pause } from '../../common/deadline.ts';
import { KeyedLock } from '../../common/keyed-lock.ts';
import { silentLogger } from '../../common/logging.ts';
import { newDiskUuid } from '../../common/disk-uuid.ts';
import type { Change, Hypervisor, Outcome } from '../../esx-service/ports/hypervisor.ts';
import { Reconfigurations } from '../../esx-service/service/reconfigurations.ts';
import type { Device } from '../../native/channel/contract.ts';
import type { BatchFigures, CallsOf } from './figures.ts';

const vm = { id: 'vm', name: 'vm' };
const callMs = 100;
/** One after another in so short a time that several come while one call is under way. */
const arrivalMs = 3;
const timeoutMs = 10_000;

export async function measureBatch(attaches: number, signal: AbortSignal): Promise<BatchFigures> {
  const changes = Array.from({ length: attaches }, (_, number) => attachOf(number));
  const apart = new SlowHypervisor();
  const oneByOne = await timed(apart, async () => {
    for (const change of changes) await apart.reconfigure(vm, [change], signal);
  });
  const together = new SlowHypervisor();
  const options = { hypervisor: together, locks: new KeyedLock(), logger: silentLogger, timeoutMs };
  const reconfigurations = new Reconfigurations(options);
  const batched = await timed(together, async () => {
    const waiting: Promise<Device>[] = [];
    for (const change of changes) {
      waiting.push(reconfigurations.change(vm, change, signal));
      await pause(arrivalMs, signal);
    }
    await Promise.all(waiting);
  });
  return { attaches, callMs, oneByOne, batched };
}

async function timed(hypervisor: SlowHypervisor, work: () => Promise<void>): Promise<CallsOf> {
  const since = performance.now();
  await work();
  return { calls: hypervisor.calls, wallMs: performance.now() - since };
}

function attachOf(number: number): Change {
  const uuid = newDiskUuid(`00000000-0000-4000-8000-${String(number).padStart(12, '0')}`);
  const extent = { diskId: `0:${String(number)}`, path: `/disk-${String(number)}`, offsetBytes: 0, sizeBytes: 1 };
  return { do: 'attach', disk: { uuid, extent }, isReadOnly: false };
}

/** As vSphere does it: one task at a time for each VM. */
class SlowHypervisor implements Hypervisor {
  readonly kind = 'slow';
  readonly vms = [vm];
  readonly hasPciAddresses = false;
  readonly hasOneTaskPerVm = true;
  calls = 0;
  #isBusy = false;

  attachments(): Promise<[]> {
    return Promise.resolve([]);
  }

  watchPower(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  async reconfigure(_vm: unknown, changes: readonly Change[], signal: AbortSignal): Promise<readonly Outcome[]> {
    if (this.#isBusy) throw new Error('a second task was begun while the VM had one');
    this.#isBusy = true;
    this.calls++;
    await pause(callMs, signal);
    this.#isBusy = false;
    return changes.map((_, place) => ({
      device: { kind: 'loop', path: `/dev/loop${String(place)}`, diskSequence: 1 },
    }));
  }
}
