/**
 * Attached disks as they arrive in this guest, and leave it. Invariants: a device is found only by what names it for certain (its
 * disk sequence number, or its controller's address and unit), never by a name that is used again; an arrival between
 * `expect` and `find` is not missed, since every find looks first and is woken by whatever comes after.
 */
import { abortable } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import type { Device } from '../../native/channel/contract.ts';
import { UeventListener, type UeventSubscriber } from '../../native/uevents.ts';
import type { Devices, ExpectedDevice, LeavingDevice } from '../ports/devices.ts';
import { SysfsDisks } from './sysfs-disks.ts';

/** Where news of devices come from. */
export interface DeviceNews {
  subscribe(subscriber: UeventSubscriber): Disposable;
  close(): void;
}

export interface BlockDevicesOptions {
  readonly logger: Logger;
  readonly sysfsRoot?: string;
  readonly news?: DeviceNews;
}

export class BlockDevices implements Devices, Disposable {
  readonly #news: DeviceNews;
  readonly #disks: SysfsDisks;
  readonly #logger: Logger;

  private constructor(news: DeviceNews, disks: SysfsDisks, logger: Logger) {
    this.#news = news;
    this.#disks = disks;
    this.#logger = logger;
  }

  static open({ logger, sysfsRoot = '/sys', news }: BlockDevicesOptions): BlockDevices {
    return new BlockDevices(news ?? UeventListener.open(), new SysfsDisks(sysfsRoot), logger);
  }

  expect(): ExpectedDevice {
    const news = this.#listen();
    return {
      find: (device, signal) => this.#find(device, news.next, signal),
      [Symbol.dispose]: () => {
        news[Symbol.dispose]();
      },
    };
  }

  leaving(devicePath: string): LeavingDevice {
    const entry = this.#disks.entryOf(devicePath);
    const news = this.#listen();
    return {
      gone: async (signal) => {
        const isGone = (): boolean => entry === undefined || this.#disks.entryOf(devicePath) !== entry;
        const sentence = `the detached disk did not leave this machine: ${devicePath}`;
        await looked(() => isGone() || undefined, news.next, sentence, signal);
      },
      [Symbol.dispose]: () => {
        news[Symbol.dispose]();
      },
    };
  }

  ioCount(devicePath: string): Promise<number> {
    return this.#disks.ioCount(devicePath);
  }

  [Symbol.dispose](): void {
    this.#news.close();
  }

  async #find(device: Device, nextNews: () => Promise<unknown>, signal: AbortSignal): Promise<string> {
    const sentence = `the attached disk did not show up in this machine: ${described(device)}`;
    return await looked(() => this.#disks.find(device), nextNews, sentence, signal);
  }

  /** `next` resolves at the first news of block devices after its call. */
  #listen(): Disposable & { readonly next: () => Promise<unknown> } {
    let arrival = Promise.withResolvers<undefined>();
    const subscription = this.#news.subscribe((event) => {
      if (event === 'overflow') this.#logger.warn('news of devices were lost; looking again');
      else if (event.subsystem !== 'block') return;
      arrival.resolve(undefined);
      arrival = Promise.withResolvers();
    });
    return {
      next: () => arrival.promise,
      [Symbol.dispose]: () => {
        subscription[Symbol.dispose]();
      },
    };
  }
}

/** What the look gives, once it gives anything: at once, or after some news. */
async function looked<T>(
  look: () => Promise<T | undefined> | T | undefined,
  nextNews: () => Promise<unknown>,
  sentence: string,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    // Taken before the look: what comes during it wakes the wait below at once.
    const news = nextNews();
    const seen = await look();
    if (seen !== undefined) return seen;
    try {
      await abortable(news, signal);
    } catch (cause) {
      throw new Fault('DeviceTimeout', sentence, { cause });
    }
  }
}

function described(device: Device): string {
  if (device.kind === 'loop') return `${device.path} with disk sequence number ${device.diskSequence}`;
  return `SCSI unit ${device.unit} of the controller at PCI slot ${device.pciSlot}, bus ${device.pciBus}`;
}
