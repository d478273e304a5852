/** What handlers of commands see, and what all sessions of one server share. Types only. */
import type { Args, ChannelEvent, CommandName, Reply } from './contract.ts';
import type { Executions } from './executions.ts';
import type { Logger } from '../../common/logging.ts';
import type { LatestHello } from './latest-hello.ts';
import type { Outcomes } from './outcomes.ts';
import type { V2Request } from './protocol-v2.ts';
import type { Vm } from './transports.ts';
import type { VmPlaces } from './vm-places.ts';

/** A guest's connection, as handlers see it. */
export interface Session {
  readonly vm: Vm;
  /** Does nothing once the session is over. */
  readonly send: (event: ChannelEvent) => void;
  /** Aborted when the connection is over. */
  readonly closed: AbortSignal;
}

export interface CommandContext {
  readonly key: string;
  /**
   * Aborted when no guest waits for the command any more, since they gave it up or their time is over, or when the
   * service ends.
   */
  readonly signal: AbortSignal;
}

export type Handlers = {
  readonly [C in CommandName]: (
    session: Session,
    args: Args<C>,
    context: CommandContext,
  ) => Reply<C> | Promise<Reply<C>>;
};

/** The value it resolves to is the reply as it is; undefined is `null`. */
export type V2Handler = (session: Session, request: V2Request, signal: AbortSignal) => Promise<unknown>;

/** What all sessions of a server share. */
export interface SessionHost {
  readonly handlers: Handlers;
  /** Undefined when version 2 is not served. */
  readonly protocolV2: V2Handler | undefined;
  readonly executions: Executions;
  readonly outcomes: Outcomes;
  readonly vmPlaces: VmPlaces;
  readonly latestHello: LatestHello;
  readonly logger: Logger;
  readonly maxInFlight: number;
  readonly frameTimeoutMs: number;
  readonly maxQueuedBytes: number;
  /** No new commands then: they stay unanswered, so that guests repeat them to the next service. */
  readonly isClosing: () => boolean;
}
