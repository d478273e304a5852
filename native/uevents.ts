/**
 * The kernel's announcements of devices that come, change and go.
 *
 * Invariants: when `open` has returned, no later event is missed. Whatever was lost, by the kernel or here, is told as
 * 'overflow' to every subscriber: whoever waits for a device must then look for it. A subscriber that throws keeps no
 * event from the others. Left to callers: close it, since it keeps the process alive.
 */
import { Socket } from 'node:net';
import { libvmci } from './ffi.ts';
import { checked } from './system-error.ts';
import { type Uevent, UeventDecoder } from './uevent-records.ts';

export type UeventSubscriber = (event: Uevent | 'overflow') => void;

const openCall = libvmci.function('vmci_uevent_open');

export class UeventListener implements Disposable {
  readonly #socket: Socket;
  readonly #decoder = new UeventDecoder();
  readonly #subscribers = new Set<UeventSubscriber>();

  private constructor(descriptor: number) {
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: true });
    this.#socket.on('data', (bytes: Buffer) => {
      for (const event of this.#decoder.push(bytes)) this.#publish(event);
    });
    // Its thread ends only with us or with the kernel's socket; after that nothing can be promised.
    this.#socket.on('end', () => this.#publish('overflow'));
    this.#socket.on('error', () => this.#publish('overflow'));
  }

  static open(): UeventListener {
    return new UeventListener(checked(openCall.now(), 'uevent socket'));
  }

  /** Called for every event from now on, until the result is disposed. */
  subscribe(subscriber: UeventSubscriber): Disposable {
    const own: UeventSubscriber = (event) => subscriber(event);
    this.#subscribers.add(own);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(own) };
  }

  close(): void {
    this.#subscribers.clear();
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #publish(event: Uevent | 'overflow'): void {
    for (const subscriber of this.#subscribers) {
      try {
        subscriber(event);
      } catch (error) {
        // The bug is reported as uncaught, but only after the others have been told.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
