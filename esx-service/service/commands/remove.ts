/** Deletes a volume for good. What is attached is not deleted; what is not there is deleted already. */
import type { Command } from '../command.ts';
import { inUse, usable, writeLock } from '../service.ts';
import { surely } from '../truth.ts';

export const remove: Command<'remove'> = async (service, guest, args, { signal }) => {
  const { full, datastore } = service.datastores.resolve(args.name, guest.defaultDatastore);
  service.authorise(guest.vm, 'remove', full);
  return service.locks.hold([writeLock(full)], { signal, what: 'remove' }, async () => {
    const known = service.catalog.find(full);
    if (!known) return {};
    const record = usable(await surely(service, known, signal));
    if (record.volume.attached) throw inUse(record, 'cannot be removed');
    await datastore.remove(record);
    service.catalog.publishRemoval(record);
    return {};
  });
};
