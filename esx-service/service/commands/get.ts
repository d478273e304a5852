/** One volume, from memory: it waits for no lock, no disk and no command. */
import type { Query } from '../command.ts';
import { existing } from '../service.ts';

export const get: Query<'get'> = (service, guest, args) => {
  const { full } = service.datastores.resolve(args.name, guest.defaultDatastore);
  service.authorise(guest.vm, 'get', full);
  return { volume: existing(service, full).volume };
};
