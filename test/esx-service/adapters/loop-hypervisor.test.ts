import { open, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import test from 'ava';
import { KeyedLock } from '../../../common/keyed-lock.ts';
import { silentLogger } from '../../../common/logging.ts';
import { LoopHypervisor } from '../../../esx-service/adapters/loop-hypervisor.ts';
import { Reconfigurations } from '../../../esx-service/service/reconfigurations.ts';
import type { Device } from '../../../native/channel/contract.ts';
import { never, vms } from '../support/commands.ts';
import { alpha, diskIn, hypervisorContract } from '../support/hypervisor-contract.ts';
import { place } from '../support/place.ts';

function pathOf(device: Device): string {
  return device.kind === 'loop' ? device.path : '';
}

hypervisorContract(test, 'loop hypervisor', () =>
  Promise.resolve({
    hypervisor: new LoopHypervisor(vms),
    again: () => Promise.resolve(new LoopHypervisor(vms)),
    sizeBytesOf: async (_vm, device) =>
      512 * Number(await readFile(`/sys/block/${basename(pathOf(device))}/size`, 'utf8')),
  }),
);

test('loop hypervisor: a device that another program keeps open holds up no other change of its VM', async (t) => {
  const at = await place(t);
  const hypervisor = new LoopHypervisor(vms);
  const locks = new KeyedLock();
  const changes = new Reconfigurations({ hypervisor, locks, logger: silentLogger, timeoutMs: 60_000 });
  const [busy, other] = [await diskIn(at, 'busy'), await diskIn(at, 'other')];
  const device = await changes.change(alpha, { do: 'attach', disk: busy, isReadOnly: false }, never);
  const file = await open(pathOf(device));
  try {
    const detached = changes.change(alpha, { do: 'detach', disk: busy, device }, never);
    await t.notThrowsAsync(changes.change(alpha, { do: 'attach', disk: other, isReadOnly: false }, never));
    const held = (await hypervisor.attachments()).map(({ diskId }) => diskId);
    t.true(held.includes(busy.extent.diskId), 'its detach waits for the other program');
    await file.close();
    t.deepEqual(await detached, device);
  } finally {
    await file.close();
  }
});
