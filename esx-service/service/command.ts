/** One request of a guest; each file in `commands/` is one of them. */
import type { Args, CommandName, Reply } from '../../native/channel/contract.ts';
import type { Guest, Service } from './service.ts';

export interface CommandContext {
  /** The same when the same command is repeated. */
  readonly key: string;
  readonly signal: AbortSignal;
}

export type Command<C extends CommandName> = (
  service: Service,
  guest: Guest,
  args: Args<C>,
  context: CommandContext,
) => Promise<Reply<C>>;

/** One that only reads memory: its answer is of the moment in which it is called. */
export type Query<C extends CommandName> = (service: Service, guest: Guest, args: Args<C>) => Reply<C>;
