/** A page of all volumes, from memory: it waits for no lock, no disk and no command. */
import type { Query } from '../command.ts';

export const list: Query<'list'> = (service, _guest, { after, limit }) => service.catalog.page(after, limit);
