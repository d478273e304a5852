/**
 * The archived product's commands, given to the same service. Its plugins format disks themselves and say nothing of
 * it, so their volumes stay "never reported formatted"; whoever attaches one later looks for a signature first.
 */
import { Fault } from '../../common/fault.ts';
import { parseVolumeOptions } from '../../common/volume-options.ts';
import type { Args } from '../../native/channel/contract.ts';
import { v2Device, v2List, type V2Request, v2Status } from '../../native/channel/protocol-v2.ts';
import type { V2Handler } from '../../native/channel/session.ts';
import { fullNameOf } from '../core/volume-record.ts';
import { attach } from '../service/commands/attach.ts';
import { create } from '../service/commands/create.ts';
import { detach } from '../service/commands/detach.ts';
import { get } from '../service/commands/get.ts';
import { remove } from '../service/commands/remove.ts';
import type { InFlight } from '../service/in-flight.ts';
import type { Guest, Service } from '../service/service.ts';
import { guestOf, type Guests } from './channel-handlers.ts';

export function v2Handler(service: Service, guests: Guests, inFlight: InFlight): V2Handler {
  return (session, request, signal) => inFlight.run(answer(service, guestOf(guests, session), request, signal));
}

async function answer(service: Service, guest: Guest, request: V2Request, signal: AbortSignal): Promise<unknown> {
  const { cmd, name, options } = request;
  const context = { key: service.newUuid(), signal };
  switch (cmd) {
    case 'create':
      await create(service, guest, createArgs(name, options), context);
      return null;
    case 'remove':
      await remove(service, guest, { name }, context);
      return null;
    case 'attach':
      checkPciAddresses(service, name);
      return v2Device((await attach(service, guest, { name }, context)).device);
    case 'detach':
      await detach(service, guest, { name, isFormatted: false, isClonePrepared: false }, context);
      return null;
    case 'get':
      return v2Status(get(service, guest, { name }).volume);
    case 'list':
      return v2List(service.catalog.view.records.map((record) => fullNameOf(record)));
  }
}

function createArgs(name: string, options: V2Request['options']): Args<'create'> {
  const { mountOptions, ...rest } = parseVolumeOptions(options);
  return { name, ...rest, mountOptions: [...mountOptions] };
}

/** Asked before, so that nothing is attached that the guest could not find. */
function checkPciAddresses({ hypervisor }: Service, name: string): void {
  if (hypervisor.hasPciAddresses) return;
  throw new Fault(
    'NotSupported',
    `volume ${name} cannot be attached: hypervisor '${hypervisor.kind}' has no PCI addresses, by which this plugin finds disks; install the current plugin in the VM`,
  );
}
