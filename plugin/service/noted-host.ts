/**
 * The service, with what its replies tell noted in the view. Invariant: when a change is answered, the view shows it, also
 * where its event was lost with an earlier connection.
 */
import type { Args, CommandName, Reply } from '../../native/channel/contract.ts';
import type { Host } from '../ports/host.ts';
import type { VolumeView } from './volume-view.ts';

type Note = (view: VolumeView, args: never, reply: never) => void;

const notes: Partial<Record<CommandName, Note>> = {
  create: (view, _args, { volume }: Reply<'create'>) => view.note(volume),
  attach: (view, _args, { volume }: Reply<'attach'>) => view.note(volume),
  detach: (view, { name }: Args<'detach'>) => view.noteDetached(name),
  remove: (view, { name }: Args<'remove'>) => view.noteRemoval(name),
};

/** The names in detach and remove must be full ones. */
export function notedHost(host: Host, view: VolumeView): Host {
  return {
    call: async (command, args, signal) => {
      const reply = await host.call(command, args, signal);
      notes[command]?.(view, args as never, reply as never);
      return reply;
    },
  };
}
