/** The service, as the plugin sees it: commands that may be repeated, each bounded by the caller's signal. */
import type { Args, CommandName, Reply } from '../../native/channel/contract.ts';

export interface Host {
  /** Rejects with a Fault: the service's own, or HostUnavailable naming the address that was tried. */
  call<C extends CommandName>(command: C, args: Args<C>, signal: AbortSignal): Promise<Reply<C>>;
}
