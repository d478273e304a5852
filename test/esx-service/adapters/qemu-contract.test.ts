/** The hypervisors' contract on real QEMUs, by either kind of controller. */
import test, { type ExecutionContext } from 'ava';
import type { ControllerKind } from '../../../esx-service/core/scsi-slots.ts';
import { vms } from '../support/commands.ts';
import { type HypervisorUnderTest, hypervisorContract } from '../support/hypervisor-contract.ts';
import type { Place } from '../support/place.ts';
import { openQemus, type Qemu, startQemu } from '../support/qemu.ts';

for (const [controller, device] of [
  ['pvscsi', 'pvscsi,id=vmdk0'],
  ['virtio-scsi', 'virtio-scsi-pci,id=vmdk0'],
] as const) {
  hypervisorContract(test, `qemu hypervisor, ${controller}`, (t, at) => start(t, at, controller, device));
}

async function start(
  t: ExecutionContext,
  at: Place,
  controller: ControllerKind,
  device: string,
): Promise<HypervisorUnderTest> {
  const qemus = new Map<string, Qemu>();
  for (const { id, name } of vms) qemus.set(id, await startQemu(t, at, { name, devices: [device] }));
  const open = (): ReturnType<typeof openQemus> => openQemus(t, (name) => at.path(`${name}.qmp`), { controller });
  const hypervisor = await open();
  const again = async (): Promise<Awaited<ReturnType<typeof open>>> => {
    hypervisor[Symbol.dispose]();
    return await open();
  };
  const sizeBytesOf: HypervisorUnderTest['sizeBytesOf'] = async ({ id }) => {
    const [disk] = (await qemus.get(id)?.ask('query-block')) as { inserted: { image: { 'virtual-size': number } } }[];
    return disk?.inserted.image['virtual-size'] ?? 0;
  };
  return { hypervisor, again, sizeBytesOf };
}
