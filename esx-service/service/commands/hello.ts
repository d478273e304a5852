/** Who the guest is, which service it talks to, and what it holds. */
import { protocolVersion } from '../../../native/channel/contract.ts';
import { fullNameOf } from '../../core/volume-record.ts';
import type { Query } from '../command.ts';

export const hello: Query<'hello'> = (service, { vm, defaultDatastore }) => ({
  version: protocolVersion,
  vm: { id: vm.id, name: vm.name },
  serviceVersion: service.version,
  instanceId: service.instanceId,
  defaultDatastore,
  datastores: service.datastores.all.map(({ name }) => name),
  attached: service.catalog.view.records
    .filter(({ volume }) => volume.attached?.vm.id === vm.id)
    .map((record) => fullNameOf(record)),
});
