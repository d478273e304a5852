/**
 * A command that its caller waits for, and how the wait ends when there is no reply. Invariant: a changing command that
 * may have been done ends as *unsure*, never as a no; one that was surely not done never ends as unsure because of the
 * host. A Busy reply says that nothing was done by the sending that it answers; it says nothing of one whose connection
 * was lost.
 */
import { Fault } from '../../common/fault.ts';
import { changes, isLong } from './command-traits.ts';
import type { CommandName } from './contract.ts';
import type { Lane, Queued } from './send-queue.ts';

/** What is sent, and who is told. */
export interface Request {
  readonly command: CommandName;
  readonly args: unknown;
  /** The same for all repetitions: the host answers each with the first outcome. */
  readonly key: string;
  /** Its caller's; undefined when nobody waits for longer than the connection lives. */
  readonly signal: AbortSignal | undefined;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (fault: Fault) => void;
}

export interface PendingCall extends Request, Queued {
  readonly signal: AbortSignal;
  /** Belongs to one connection, and ends with it instead of being repeated. */
  readonly isBound: boolean;
  /** On this or an earlier connection. */
  wasSent: boolean;
  /** Whether it may have been done: no, yes on this connection, or yes on one that was lost. */
  doubt: 'none' | 'sent' | 'lost';
  /** The last reply, since when it was not sent again; and how many such there were in a row. */
  busy: Fault | undefined;
  busyReplies: number;
}

export type NewCall = Omit<PendingCall, 'lane' | 'wasSent' | 'doubt' | 'busy' | 'busyReplies'>;

export function pendingCall(call: NewCall): PendingCall {
  return { ...call, lane: laneOf(call), wasSent: false, doubt: 'none', busy: undefined, busyReplies: 0 };
}

export function noteSent(call: PendingCall): void {
  call.wasSent = true;
  call.busy = undefined;
  if (call.doubt === 'none') call.doubt = 'sent';
}

export function noteBusy(call: PendingCall, fault: Fault): void {
  call.busy = fault;
  call.busyReplies += 1;
  if (call.doubt === 'sent') call.doubt = 'none';
}

export function noteLost(call: PendingCall): void {
  call.doubt = 'lost';
  call.busyReplies = 0;
}

/** How a call ends when nobody will answer it, for the given reason. */
export function unanswered(call: PendingCall, reason: Fault): Fault {
  if (call.doubt === 'none' || !changes(call.command)) return reason;
  return new Fault('OutcomeUnknown', `${call.command}: ${reason.message}; it may have been done`, { cause: reason });
}

/**
 * How a call ends whose caller's signal was aborted.
 * @param unreachable what keeps it from being answered, while there is no connection
 */
export function givenUp(call: PendingCall, reason: unknown, unreachable: Fault | undefined): Fault {
  const obstacle = unreachable ?? call.busy;
  if (obstacle) return unanswered(call, obstacle);
  const fault =
    reason instanceof Fault ? reason : new Fault('Cancelled', `${call.command} was cancelled`, { cause: reason });
  return fault.class === 'unsure' ? fault : unanswered(call, fault);
}

/** A long-running command of a session is long all the same. */
function laneOf({ command, isBound }: NewCall): Lane {
  if (isLong(command)) return 'long';
  return isBound ? 'session' : 'short';
}
