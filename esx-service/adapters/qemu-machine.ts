/**
 * One VM, by its QMP socket. Invariants: there is one connection at most, and all that ask share it; once it is lost, the
 * next one is tried at once and then again and again until QEMU answers or is surely gone, and then whoever listens is
 * told, since its disks may not be what they were, as when somebody else took one out; a QEMU that is not the VM that
 * was meant is never used.
 */
import { abortable, deadline, pause } from '../../common/deadline.ts';
import { Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { type Backoff, backoffMs } from '../../native/channel/backoff.ts';
import type { Vm } from '../core/holders.ts';
import { QemuPlugging } from './qemu-plugging.ts';
import { QemuSession } from './qemu-session.ts';
import { userOf } from './qemu-user.ts';
import { QmpConnection } from './qmp-connection.ts';

export interface MachineOptions {
  readonly vm: Vm;
  /** Of its QMP socket. */
  readonly path: string;
  /** Undefined: whichever is there. */
  readonly uuid?: string | undefined;
  readonly contextId?: number | undefined;
  readonly logger: Logger;
  /** QEMU greets within milliseconds; one that does not serves another client, or is stuck. */
  readonly greetingLimitMs?: number | undefined;
  /** Its disks may be free from now on. */
  readonly onLost: (vm: Vm) => void;
}

export interface Running {
  readonly session: QemuSession;
  readonly plugging: QemuPlugging;
}

const defaultGreetingLimitMs = 5_000;
const retry: Backoff = { minMs: 50, maxMs: 5_000 };

export class QemuMachine implements Disposable {
  readonly vm: Vm;
  readonly path: string;
  readonly #options: MachineOptions;
  readonly #logger: Logger;
  readonly #closed = new AbortController();
  #running: Running | undefined;
  #opening: Promise<Running | undefined> | undefined;
  #contextId: number | undefined;
  #isPursued = false;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.vm = options.vm;
    this.path = options.path;
    this.#logger = options.logger.child({ vm: options.vm.name });
    this.#contextId = options.contextId;
  }

  /** As it was configured, or as QEMU said when it was reached last. */
  get contextId(): number | undefined {
    return this.#contextId;
  }

  /**
   * @returns undefined when the VM is off
   * @throws Fault HostUnavailable when that cannot be told, or when it is another VM; the signal's reason
   */
  async running(signal: AbortSignal): Promise<Running | undefined> {
    signal.throwIfAborted();
    if (this.#running?.session.connection.isOpen) return this.#running;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return await abortable(this.#opening, signal);
  }

  /**
   * Asks something that changes nothing: once more when QEMU goes away in the midst of it.
   * @returns undefined when the VM is off
   * @throws as `running` does, and what is asked
   */
  async read<T>(ask: (running: Running) => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    for (let isLast = false; ; isLast = true) {
      const running = await this.running(signal);
      if (!running) return undefined;
      try {
        return await ask(running);
      } catch (error) {
        if (isLast || signal.aborted || running.session.connection.isOpen) throw error;
      }
    }
  }

  /** After a change that was not answered in time: what QEMU has not begun of it is not done any more. */
  giveUp(): void {
    this.#running?.session[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#closed.abort(new Fault('Cancelled', 'the service ends'));
    this.giveUp();
  }

  async #open(): Promise<Running | undefined> {
    const { greetingLimitMs = defaultGreetingLimitMs } = this.#options;
    using limit = deadline(greetingLimitMs, `reaching VM ${this.vm.name}`, this.#closed.signal);
    let connection: QmpConnection | undefined;
    try {
      connection = await this.#connect(limit.signal);
      if (!connection) return undefined;
      const running = await this.#begin(connection, limit.signal);
      this.#running = running;
      void connection.ended.then(() => this.#onEnd(running));
      return running;
    } catch (error) {
      connection?.[Symbol.dispose]();
      this.#closed.signal.throwIfAborted();
      if (!limit.signal.aborted && faultOf(error).code !== 'Busy') throw error;
      const sentence = `VM ${this.vm.name} does not answer at its QMP socket ${this.path}`;
      const hint =
        'QMP serves one client at a time: give the service a socket of its own, and see that QEMU is not stuck';
      throw new Fault('HostUnavailable', `${sentence}; ${hint}`, { cause: error });
    }
  }

  async #connect(signal: AbortSignal): Promise<QmpConnection | undefined> {
    for (let failures = 0; ; failures += 1) {
      try {
        return await QmpConnection.open(this.path, signal);
      } catch (error) {
        // A QEMU that is being killed still accepts for a moment, and says nothing.
        if (failures >= 3 || signal.aborted) throw error;
        await pause(backoffMs(retry, failures), signal);
      }
    }
  }

  async #begin(connection: QmpConnection, signal: AbortSignal): Promise<Running> {
    const session = new QemuSession(connection);
    const uuid = await session.uuid(signal);
    const { uuid: wanted } = this.#options;
    if (wanted !== undefined && wanted.toLowerCase() !== uuid.toLowerCase()) {
      const sentence = `the QMP socket ${this.path} is of the VM with UUID ${uuid}, not of VM ${this.vm.name} with UUID ${wanted}`;
      throw new Fault('HostUnavailable', `${sentence}; correct the one that is wrong`);
    }
    this.#contextId = await this.#askContextId(session, signal);
    const plugging = new QemuPlugging({
      vm: this.vm,
      session,
      user: await userOf(this.path),
      logger: this.#logger,
      onTakenOut: () => this.#options.onLost(this.vm),
    });
    await plugging.clear(signal);
    this.#logger.info('VM reached', { qmp: this.path, uuid, contextId: this.#contextId });
    return { session, plugging };
  }

  async #askContextId(session: QemuSession, signal: AbortSignal): Promise<number | undefined> {
    const { contextId: wanted } = this.#options;
    const contextId = await session.contextId(signal);
    if (wanted === undefined || contextId === undefined || wanted === contextId) return contextId ?? wanted;
    const sentence = `VM ${this.vm.name} has the vsock context ID ${contextId}, not ${wanted}, as the configuration says`;
    throw new Fault('HostUnavailable', `${sentence}; correct the one that is wrong`);
  }

  async #onEnd(running: Running): Promise<void> {
    running.plugging[Symbol.dispose]();
    running.session[Symbol.dispose]();
    if (this.#running === running) {
      this.#running = undefined;
      // QEMU may give it to another VM now.
      this.#contextId = this.#options.contextId;
    }
    await this.pursue();
  }

  /** For whoever could not wait for an answer: tells by `onLost` when QEMU answers, or is surely gone. */
  async pursue(): Promise<void> {
    if (this.#isPursued) return;
    this.#isPursued = true;
    const isOn = await this.#untilKnown();
    this.#isPursued = false;
    if (this.#closed.signal.aborted) return;
    this.#logger.info(isOn ? 'VM reached again' : 'VM is off', { qmp: this.path });
    this.#options.onLost(this.vm);
  }

  async #untilKnown(): Promise<boolean> {
    const { signal } = this.#closed;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        return (await this.read(({ session }) => session.uuid(signal), signal)) !== undefined;
      } catch (error) {
        if (failures === 0) this.#logger.warn('VM cannot be reached', failureFields(error));
        await pause(backoffMs(retry, failures), signal).catch(() => undefined);
      }
    }
    return false;
  }
}
