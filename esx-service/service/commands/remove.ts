/**
 * Deletes a volume for good, the one that was meant: not another that was made under its name since. What is attached is not deleted; what is not there is deleted already. One that cannot be
 * used is not deleted, since what is left of it may still be rescued, and cannot be relied on to say what is its own; only
 * one of which nothing is left at all is forgotten.
 */
import { Fault } from '../../../common/fault.ts';
import { type FullName, parseVolumeName } from '../../../common/names.ts';
import type { VolumeRecord } from '../../core/volume-record.ts';
import type { Datastore } from '../../ports/datastore.ts';
import type { Command } from '../command.ts';
import { inUse, usable, writeLock } from '../service.ts';
import { surely } from '../truth.ts';

export const remove: Command<'remove'> = async (service, guest, args, { signal }) => {
  const { full, datastore } = service.datastores.resolve(args.name, guest.defaultDatastore);
  service.authorise(guest.vm, 'remove', full);
  return service.locks.hold([writeLock(full)], { signal, what: 'remove' }, async () => {
    const known = service.catalog.find(full);
    if (!known) return {};
    if (args.uuid !== undefined && args.uuid !== known.volume.uuid) throw replaced(full);
    const seen = await surely(service, known, signal);
    if (await isNothingLeft(seen, datastore)) {
      service.catalog.publishRemoval(seen);
      return {};
    }
    const record = usable(seen);
    if (record.volume.attached) throw inUse(record, 'cannot be removed');
    await datastore.remove(record);
    service.catalog.publishRemoval(record);
    return {};
  });
};

function replaced(name: FullName): Fault {
  const message = `volume ${name} is not the one that was to be removed: that one is gone, and another was made under its name; look at it, and remove it if it may go`;
  return new Fault('VolumeReplaced', message);
}

/** Never so of a datastore that is gone: its volumes may come back with it. */
async function isNothingLeft({ volume, problems }: VolumeRecord, datastore: Datastore): Promise<boolean> {
  if (problems.files === undefined || problems.holder !== undefined || volume.attached) return false;
  return (await datastore.readVolume(parseVolumeName(volume.name))).presence === 'nothing';
}
