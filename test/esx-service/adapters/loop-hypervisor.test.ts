import { open } from 'node:fs/promises';
import test from 'ava';
import { KeyedLock } from '../../../common/keyed-lock.ts';
import { silentLogger } from '../../../common/logging.ts';
import { LoopHypervisor } from '../../../esx-service/adapters/loop-hypervisor.ts';
import { newDiskUuid } from '../../../esx-service/core/disk-uuid.ts';
import type { Disk, Outcome } from '../../../esx-service/ports/hypervisor.ts';
import { Reconfigurations } from '../../../esx-service/service/reconfigurations.ts';
import type { Device } from '../../../native/channel/contract.ts';
import { never, vms } from '../support/commands.ts';
import { mebibyte, place, run, type Place } from '../support/place.ts';

const [alpha = { id: '', name: '' }, beta = alpha] = vms;
const uuid = newDiskUuid('a1b2c3d4-e5f6-4789-8abc-def012345678');

async function disk(at: Place, name: string): Promise<Disk> {
  const path = at.path(name);
  await run('truncate', '-s', String(4 * mebibyte), path);
  const [dev = '', ino = ''] = (await run('stat', '-c', '%d %i', path)).trim().split(' ');
  return { uuid, extent: { diskId: `${dev}:${ino}`, path, offsetBytes: 0, sizeBytes: 4 * mebibyte } };
}

function deviceOf(outcome: Outcome | undefined): Device & { readonly kind: 'loop' } {
  if (outcome && 'device' in outcome && outcome.device.kind === 'loop') return outcome.device;
  throw outcome && 'fault' in outcome ? outcome.fault : new Error('no loop device');
}

test('loop hypervisor: the changes of a VM have one outcome each, and one that fails harms no other', async (t) => {
  const at = await place(t);
  const hypervisor = new LoopHypervisor(vms);
  const [first, second] = [await disk(at, 'first'), await disk(at, 'second')];
  const lost: Disk = { uuid, extent: { ...first.extent, path: at.path('lost') } };
  const outcomes = await hypervisor.reconfigure(
    alpha,
    [first, lost, second].map((one) => ({ do: 'attach', disk: one, isReadOnly: one === second })),
    never,
  );
  t.deepEqual(
    outcomes.map((outcome) => 'device' in outcome),
    [true, false, true],
  );
  const attached = await hypervisor.attachments();
  for (const [one, isReadOnly] of [
    [first, false],
    [second, true],
  ] as const) {
    const found = attached.filter(({ diskId }) => diskId === one.extent.diskId);
    t.like(found, [{ isReadOnly, holder: { vm: alpha } }]);
  }
});

test('loop hypervisor: a detach that comes late never takes the device from whoever has it now', async (t) => {
  const at = await place(t);
  const hypervisor = new LoopHypervisor(vms);
  const mine = await disk(at, 'mine');
  const [outcome] = await hypervisor.reconfigure(beta, [{ do: 'attach', disk: mine, isReadOnly: false }], never);
  const device = deviceOf(outcome);
  const earlier = { ...device, diskSequence: device.diskSequence - 1 };
  const [late] = await hypervisor.reconfigure(alpha, [{ do: 'detach', disk: mine, device: earlier }], never);
  t.deepEqual(late, { device: earlier });
  const held = (await hypervisor.attachments()).filter(({ diskId }) => diskId === mine.extent.diskId);
  t.like(held, [{ holder: { vm: beta }, device }]);
  await hypervisor.reconfigure(beta, [{ do: 'detach', disk: mine, device }], never);
  const [again] = await hypervisor.reconfigure(beta, [{ do: 'detach', disk: mine, device }], never);
  t.deepEqual(again, { device });
});

test('loop hypervisor: a device that another program keeps open holds up no other change of its VM', async (t) => {
  const at = await place(t);
  const hypervisor = new LoopHypervisor(vms);
  const locks = new KeyedLock();
  const changes = new Reconfigurations({ hypervisor, locks, logger: silentLogger, timeoutMs: 60_000 });
  const [busy, other] = [await disk(at, 'busy'), await disk(at, 'other')];
  const device = await changes.change(alpha, { do: 'attach', disk: busy, isReadOnly: false }, never);
  const file = await open(deviceOf({ device }).path);
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
