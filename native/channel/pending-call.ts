/**
 * A command that its caller waits for, and how the wait ends when there is no reply. Invariant: a changing command that
 * was sent and not answered ends as *unsure*, never as a no; one that was surely not sent never ends as unsure because
 * of the host.
 */
import { Fault } from '../../common/fault.ts';
import { changes } from './changing-commands.ts';
import type { CommandName } from './contract.ts';

export interface PendingCall {
  readonly command: CommandName;
  readonly args: unknown;
  /** The same for all repetitions: the host answers each with the first outcome. */
  readonly key: string;
  /** Belongs to one connection, and ends with it instead of being repeated. */
  readonly isBound: boolean;
  /** On this or an earlier connection. */
  wasSent: boolean;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (fault: Fault) => void;
}

/** How a call ends when nobody will answer it, for the given reason. */
export function unanswered(call: PendingCall, reason: Fault): Fault {
  if (!call.wasSent || !changes(call.command)) return reason;
  return new Fault('OutcomeUnknown', `${call.command}: ${reason.message}; it may have been done`, { cause: reason });
}

/**
 * How a call ends whose caller's signal was aborted.
 * @param unreachable what keeps it from being answered, while there is no connection
 */
export function givenUp(call: PendingCall, reason: unknown, unreachable: Fault | undefined): Fault {
  if (unreachable) return unanswered(call, unreachable);
  const fault =
    reason instanceof Fault ? reason : new Fault('Cancelled', `${call.command} was cancelled`, { cause: reason });
  return fault.class === 'unsure' ? fault : unanswered(call, fault);
}
