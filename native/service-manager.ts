/**
 * Tells the service manager how this process fares, in systemd's protocol: datagrams to the socket in NOTIFY_SOCKET.
 *
 * Invariants: telling neither waits nor fails, whatever the other side does; what a full queue did not take is sent
 * later, in order. Where a watchdog is asked for (WATCHDOG_USEC), it is fed from a timer of the event loop, twice as
 * often as asked: an event loop that hangs falls silent, and the manager starts us anew. Disposed, it tells nothing later.
 */
import { constants } from 'node:os';
import type { Supervisor } from '../common/daemon.ts';
import { cString, libvmci } from './ffi.ts';

const notifyCall = libvmci.function('vmci_notify', 'pointer', 'pointer', 'uint32');
const retryMs = 100;
/** A manager that takes nothing any more is not worth more memory than this. */
const maxUnsent = 64;

/** Does nothing where nobody supervises us. */
const unsupervised: Supervisor = {
  ready: () => undefined,
  stopping: () => undefined,
  status: () => undefined,
  [Symbol.dispose]: () => undefined,
};

/** @param environment loses what is meant for this process alone, so that no program that we start speaks for us */
export function supervisorOf(environment: NodeJS.ProcessEnv, pid: number): Supervisor {
  const { NOTIFY_SOCKET: address, WATCHDOG_USEC: watchdogUs, WATCHDOG_PID: watchdogPid } = environment;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) Reflect.deleteProperty(environment, name);
  if (address === undefined || address === '') return unsupervised;
  const isWatched = watchdogPid === undefined || watchdogPid === String(pid);
  return ServiceManager.open(address, isWatched ? Number(watchdogUs ?? 0) : 0);
}

class ServiceManager implements Supervisor {
  readonly #address: Buffer;
  readonly #unsent: Buffer[] = [];
  #watchdog: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #lastStatus = '';

  static open(address: string, watchdogUs: number): ServiceManager {
    const manager = new ServiceManager(address);
    const everyMs = Math.floor(watchdogUs / 2000);
    if (everyMs >= 1) manager.#watchdog = setInterval(() => manager.#tell('WATCHDOG=1'), everyMs).unref();
    return manager;
  }

  private constructor(address: string) {
    this.#address = cString(address);
  }

  ready(): void {
    this.#tell('READY=1');
  }

  stopping(): void {
    this.#tell('STOPPING=1');
  }

  status(sentence: string): void {
    // A line break would begin another assignment.
    const line = sentence.replaceAll(/\s+/g, ' ');
    if (line === this.#lastStatus) return;
    this.#lastStatus = line;
    this.#tell(`STATUS=${line}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watchdog);
    clearTimeout(this.#retry);
  }

  #tell(assignment: string): void {
    if (this.#unsent.length < maxUnsent) this.#unsent.push(Buffer.from(assignment));
    this.#flush();
  }

  #flush(): void {
    for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
      if (notifyCall.now(this.#address, next, next.length) === -constants.errno.EAGAIN) {
        this.#retryLater();
        return;
      }
      // Any other failure says that nobody listens, and will not change.
      this.#unsent.shift();
    }
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#flush();
    }, retryMs).unref();
  }
}
