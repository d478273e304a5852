/** Who the guest is, which service it talks to, and what it holds: a guest lets go what it is not told to hold. */
import { Fault } from '../../../common/fault.ts';
import { protocolVersion } from '../../../native/channel/contract.ts';
import { fullNameOf } from '../../core/volume-record.ts';
import type { Query } from '../command.ts';

export const hello: Query<'hello'> = (service, { vm, defaultDatastore }) => {
  const silence = service.unheard.get(vm.id);
  if (silence !== undefined) {
    throw new Fault('HostUnavailable', `it is not known yet what VM ${vm.name} holds: ${silence}; try again later`);
  }
  return {
    version: protocolVersion,
    vm: { id: vm.id, name: vm.name },
    serviceVersion: service.version,
    instanceId: service.instanceId,
    defaultDatastore,
    datastores: service.datastores.all.map(({ name }) => name),
    attached: service.catalog.view.records
      .filter(({ volume }) => volume.attached?.vm.id === vm.id)
      .map((record) => fullNameOf(record)),
  };
};
