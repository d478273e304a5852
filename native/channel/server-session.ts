/**
 * One connection from a guest, in version 3 or 2 as its first frame tells. Invariants: every command gets one reply, in
 * one frame; a command that cannot be understood is answered, and what cannot be answered ends the connection; a lost
 * connection cancels nothing, since the guest comes back and repeats its commands with the same keys. A command that the
 * guest gave up, or whose time is over, is ended if nobody else waits for it, and answered all the same. A Busy reply
 * says that its command was not begun; what is at work is bounded for each connection and for each VM.
 *
 * Order: commands are handed to their handlers in the order of arrival, and replies and events leave in the order in
 * which they were made. In particular, a handler that returns a plain value has its reply written before any other code
 * runs; one that returns a promise, in the first reaction to that promise. So what a handler reads and returns at once
 * reflects exactly the events that were sent before its reply.
 */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import { Fault, faultOf } from '../../common/fault.ts';
import { changes } from './command-traits.ts';
import { Connection } from './connection.ts';
import { type Args, type ChannelEvent, type CommandName, commands, requestSchema } from './contract.ts';
import { helloSchema, mismatchOf } from './negotiation.ts';
import type { Outcome, Work } from './executions.ts';
import { encodeFrame } from './frame.ts';
import { describeIssues } from './issues.ts';
import { parseV2Request, v2Error } from './protocol-v2.ts';
import type { Session, SessionHost } from './session.ts';
import type { Vm } from './transports.ts';

interface InFlight {
  isGivenUp: boolean;
  cancel: (reason: Fault) => void;
  /** Of the time that the guest gives it; ends with the reply, and with the connection. */
  timer: NodeJS.Timeout | undefined;
}

type CommandRequest = z.infer<(typeof requestSchema.options)[0]>;

const [commandSchema, cancelSchema] = requestSchema.options;
const maxShownName = 40;
const ended = new Fault('HostUnavailable', 'the conversation is over');
/** Events go to many sessions: each is encoded once. */
const eventFrames = new WeakMap<ChannelEvent, Buffer>();

export class ServerSession {
  readonly #host: SessionHost;
  readonly #connection: Connection;
  readonly #session: Session;
  readonly #inFlight = new Map<number, InFlight>();
  #state: 'new' | 'greeting' | 'version 3' | 'version 2' = 'new';

  constructor(stream: Duplex, vm: Vm, host: SessionHost) {
    this.#host = host;
    this.#connection = new Connection(stream, {
      logger: host.logger.child({ vm: vm.name }),
      frameTimeoutMs: host.frameTimeoutMs,
      maxQueuedBytes: host.maxQueuedBytes,
      takesTurns: true,
      onMessage: (message) => this.#receive(message),
    });
    const { closed } = this.#connection;
    this.#session = { vm, send: (event) => this.#connection.sendFrame(eventFrame(event)), closed };
    const timer = setTimeout(() => {
      if (this.#state === 'new') this.end(new Fault('DeadlineExceeded', 'the peer said nothing'));
    }, host.frameTimeoutMs);
    const onClosed = (): void => {
      clearTimeout(timer);
    };
    closed.addEventListener('abort', onClosed, { once: true });
  }

  get closed(): AbortSignal {
    return this.#session.closed;
  }

  /** Lets the replies that are written leave, then ends. */
  end(reason: Fault): void {
    this.#connection.end(reason);
  }

  /** As `end`, and tells the guest why. */
  endWith(reason: Fault): void {
    this.#connection.send({ over: wireError(reason) });
    this.end(reason);
  }

  /** Ends at once. */
  destroy(reason: Fault): void {
    this.#connection.destroy(reason);
  }

  #receive(message: unknown): void {
    switch (this.#state) {
      case 'new':
        if (typeof message === 'object' && message !== null && 'v' in message) this.#greet(message);
        else this.#serveV2(message);
        return;
      case 'greeting':
      case 'version 3':
        this.#receiveV3(message);
        return;
      case 'version 2':
        return;
    }
  }

  #greet(message: { readonly v: unknown }): void {
    const { data: request } = helloSchema.safeParse(message);
    const args = request && commands.hello.args.safeParse(request.args);
    const mismatch = mismatchOf(message, this.#session.vm.name);
    if (mismatch) {
      this.#refuse(message, mismatch);
    } else if (request?.cmd !== 'hello' || !args) {
      this.#refuse(message, new Fault('InvalidRequest', 'the first command must be "hello"'));
    } else if (!args.success) {
      this.#refuse(message, new Fault('InvalidRequest', `hello: ${describeIssues(args.error)}`));
    } else {
      this.#enter(request, args.data);
    }
  }

  #enter(request: CommandRequest, args: Args<'hello'>): void {
    try {
      const { vm } = this.#session;
      const endedCount = this.#host.latestHello.take(vm.id, args, this);
      // Once, it is a guest that lost its connection; again and again, it is two plugins in one VM.
      if (endedCount > 0) this.#host.logger.info('a later connection of a VM took over', { vm: vm.name });
      this.#state = 'greeting';
      this.#run(request, 'hello', args, (outcome) => {
        this.#state = 'version 3';
        this.#reply(request.id, outcome);
        if ('fault' in outcome) this.end(outcome.fault);
      });
    } catch (error) {
      this.#refuse(request, faultOf(error));
    }
  }

  /** Answers, if it says to what, and ends the connection. */
  #refuse(message: unknown, fault: Fault): void {
    const id = idOf(message);
    if (id !== undefined) this.#reply(id, { fault });
    this.end(fault);
  }

  #receiveV3(message: unknown): void {
    const cancel = cancelSchema.safeParse(message);
    if (cancel.success) {
      this.#cancel(cancel.data.cancel);
      return;
    }
    const id = idOf(message);
    if (id === undefined || this.#inFlight.has(id)) {
      this.#connection.destroy(new Fault('InvalidRequest', 'a command without an id, or with one that is in use'));
      return;
    }
    try {
      this.#command(message);
    } catch (error) {
      this.#reply(id, { fault: faultOf(error) });
    }
  }

  /** @throws Fault when the command is not to be started */
  #command(message: unknown): void {
    const request = commandSchema.safeParse(message);
    if (!request.success)
      throw new Fault('InvalidRequest', `command ${describe(message)}: ${describeIssues(request.error)}`);
    const { id, cmd, args } = request.data;
    if (this.#state === 'greeting') throw new Fault('InvalidRequest', `${cmd}: "hello" is not answered yet`);
    if (cmd === 'hello') throw new Fault('InvalidRequest', 'hello: was said already on this connection');
    const parsed = commands[cmd].args.safeParse(args);
    if (!parsed.success) throw new Fault('InvalidRequest', `${cmd}: ${describeIssues(parsed.error)}`);
    if (cmd !== 'ping') {
      if (this.#host.isClosing()) return;
      if (this.#inFlight.size >= this.#host.maxInFlight) {
        throw new Fault(
          'Busy',
          `${cmd}: ${this.#inFlight.size} commands of this connection are at work; try again later`,
        );
      }
    }
    this.#run(request.data, cmd, parsed.data, (outcome) => this.#reply(id, outcome));
  }

  #run<C extends CommandName>(request: CommandRequest, cmd: C, args: Args<C>, tell: (outcome: Outcome) => void): void {
    const { id, withinMs } = request;
    const entry: InFlight = { isGivenUp: false, cancel: () => undefined, timer: undefined };
    this.#inFlight.set(id, entry);
    this.#start(request, cmd, args, entry, tell);
    if (withinMs === undefined || this.#inFlight.get(id) !== entry || this.closed.aborted) return;
    entry.timer = setTimeout(() => {
      giveUp(entry, new Fault('DeadlineExceeded', `${cmd}: the guest waited no longer than ${withinMs / 1000} s`));
    }, withinMs);
  }

  #start<C extends CommandName>(
    { key }: CommandRequest,
    cmd: C,
    args: Args<C>,
    entry: InFlight,
    tell: (outcome: Outcome) => void,
  ): void {
    const { executions, handlers, outcomes, vmPlaces } = this.#host;
    const { id: vmId } = this.#session.vm;
    const handle: Work = (signal) => handlers[cmd](this.#session, args, { key, signal });
    if (!changes(cmd)) {
      entry.cancel = executions.start(handle, tell);
      return;
    }
    const work: Work = (signal) => vmPlaces.run(vmId, () => handle(signal));
    const fingerprint = createHash('sha256')
      .update(JSON.stringify([cmd, args]))
      .digest('base64');
    entry.cancel = outcomes.run(
      { vmId, key, fingerprint, work },
      { tell, isWaiting: () => !entry.isGivenUp && !this.closed.aborted },
    );
  }

  #cancel(id: number): void {
    const entry = this.#inFlight.get(id);
    if (entry) giveUp(entry, new Fault('Cancelled', 'the guest gave the command up'));
  }

  #reply(id: number, outcome: Outcome): void {
    clearTimeout(this.#inFlight.get(id)?.timer);
    this.#inFlight.delete(id);
    if (this.closed.aborted) return;
    try {
      this.#connection.send('ok' in outcome ? { id, ok: outcome.ok } : { id, error: wireError(outcome.fault) });
    } catch (error) {
      this.#connection.send({ id, error: wireError(faultOf(error)) });
    }
  }

  #serveV2(message: unknown): void {
    this.#state = 'version 2';
    const { protocolV2, executions, isClosing, vmPlaces } = this.#host;
    const work: Work = (signal) => {
      if (!protocolV2)
        throw new Fault('ProtocolMismatch', 'version 2 of the protocol is not served; upgrade the plugin');
      if (isClosing()) throw new Fault('HostUnavailable', 'the service is being stopped; try again later');
      const request = parseV2Request(message);
      return vmPlaces.run(this.#session.vm.id, () => protocolV2(this.#session, request, signal));
    };
    executions.start(work, (outcome) => {
      const reply = 'ok' in outcome ? (outcome.ok ?? null) : v2Error(outcome.fault);
      try {
        this.#connection.send(reply);
      } catch (error) {
        this.#connection.send(v2Error(faultOf(error)));
      }
      this.end(ended);
    });
  }
}

/** Its reply is sent all the same: by then the command was undone, or had happened already. */
function giveUp(entry: InFlight, reason: Fault): void {
  clearTimeout(entry.timer);
  if (entry.isGivenUp) return;
  entry.isGivenUp = true;
  entry.cancel(reason);
}

function wireError({ code, message }: Fault): { readonly code: string; readonly message: string } {
  return { code, message };
}

function eventFrame(event: ChannelEvent): Buffer {
  let frame = eventFrames.get(event);
  if (!frame) eventFrames.set(event, (frame = encodeFrame({ event })));
  return frame;
}

function idOf(message: unknown): number | undefined {
  if (typeof message !== 'object' || message === null || !('id' in message)) return undefined;
  const { id } = message;
  return typeof id === 'number' && Number.isSafeInteger(id) && id >= 0 ? id : undefined;
}

function describe(message: unknown): string {
  const name = typeof message === 'object' && message !== null && 'cmd' in message ? message.cmd : undefined;
  return typeof name === 'string' ? JSON.stringify(name.slice(0, maxShownName)) : 'without a name';
}
