/**
 * The channel's commands, given to the service in the name of the VM that the transport tells. Invariant: what is read
 * from memory is answered at once, so that a page and the events before it agree.
 */
import { Fault } from '../../common/fault.ts';
import type { Args, CommandName, Reply } from '../../native/channel/contract.ts';
import type { CommandContext, Handlers, Session } from '../../native/channel/session.ts';
import type { Command } from '../service/command.ts';
import { attach } from '../service/commands/attach.ts';
import { create } from '../service/commands/create.ts';
import { detach } from '../service/commands/detach.ts';
import { get } from '../service/commands/get.ts';
import { hello } from '../service/commands/hello.ts';
import { list } from '../service/commands/list.ts';
import { ping } from '../service/commands/ping.ts';
import { remove } from '../service/commands/remove.ts';
import { watch } from '../service/commands/watch.ts';
import type { InFlight } from '../service/in-flight.ts';
import type { Guest, Service } from '../service/service.ts';

/** By VM id. */
export type Guests = Pick<ReadonlyMap<string, Guest>, 'get'>;

export function channelHandlers(service: Service, guests: Guests, inFlight: InFlight): Handlers {
  const changing =
    <C extends CommandName>(command: Command<C>) =>
    (session: Session, args: Args<C>, context: CommandContext): Promise<Reply<C>> =>
      inFlight.run(command(service, guestOf(guests, session), args, context));
  return {
    create: changing(create),
    remove: changing(remove),
    attach: changing(attach),
    detach: changing(detach),
    hello: (session, args) => hello(service, guestOf(guests, session), args),
    get: (session, args) => get(service, guestOf(guests, session), args),
    list: (session, args) => list(service, guestOf(guests, session), args),
    ping: (session, args) => ping(service, guestOf(guests, session), args),
    watch: (session) => watch(service, session),
  };
}

/** The transport only lets configured VMs in. */
export function guestOf(guests: Guests, session: Session): Guest {
  const guest = guests.get(session.vm.id);
  if (!guest) throw new Fault('NotAuthorized', `VM ${session.vm.name} is not configured`);
  return guest;
}
