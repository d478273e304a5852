/**
 * Attached disks as they arrive in this guest, and leave it. Invariants: a device is found only by what names it for certain (its
 * disk sequence number, or its controller's address and unit), never by a name that is used again; an arrival between
 * `expect` and `find` is not missed, since every find looks first and is woken by whatever the kernel says of that
 * device after. News of other disks wake nobody: with many on their way, the looks would cost more than all the rest.
 */
import { basename } from 'node:path';
import { abortable } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import type { Device } from '../../native/channel/contract.ts';
import type { Uevent } from '../../native/uevent-records.ts';
import { UeventListener, type UeventSubscriber } from '../../native/uevents.ts';
import type { Devices, ExpectedDevice, LeavingDevice } from '../ports/devices.ts';
import { SysfsDisks } from './sysfs-disks.ts';

/** Where news of devices come from. */
export interface DeviceNews {
  subscribe(subscriber: UeventSubscriber): Disposable;
  close(): void;
}

/** Whether an event may concern the device that is waited for. */
type IsAbout = (event: Uevent) => boolean;

interface News extends Disposable {
  /** Resolves at the first such news after its call, or when news were lost. Called again, it replaces the earlier call. */
  readonly next: (isAbout: IsAbout) => Promise<undefined>;
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
      find: (device, signal) => this.#find(device, news, signal),
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
        const isAbout: IsAbout = ({ devpath }) => basename(devpath) === basename(devicePath);
        await looked(
          () => isGone() || undefined,
          () => news.next(isAbout),
          sentence,
          signal,
        );
      },
      [Symbol.dispose]: () => {
        news[Symbol.dispose]();
      },
    };
  }

  ioCount(devicePath: string): number {
    return this.#disks.ioCount(devicePath);
  }

  [Symbol.dispose](): void {
    this.#news.close();
  }

  async #find(device: Device, news: News, signal: AbortSignal): Promise<string> {
    const sentence = `the attached disk did not show up in this machine: ${described(device)}`;
    const isAbout = aboutDevice(device);
    return await looked(
      () => this.#disks.find(device),
      () => news.next(isAbout),
      sentence,
      signal,
    );
  }

  #listen(): News {
    let waiting: { readonly isAbout: IsAbout; readonly resolve: (value: undefined) => void } | undefined;
    const subscription = this.#news.subscribe((event) => {
      if (event === 'overflow') this.#logger.warn('news of devices were lost; looking again');
      else if (event.subsystem !== 'block' || !waiting?.isAbout(event)) return;
      waiting?.resolve(undefined);
    });
    return {
      next: (isAbout) => {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        waiting = { isAbout, resolve };
        return promise;
      },
      [Symbol.dispose]: () => {
        subscription[Symbol.dispose]();
      },
    };
  }
}

/** A disk's place in the kernel's tree names it; its partitions' are below that, and concern it too. */
function aboutDevice(device: Device): IsAbout {
  if (device.kind === 'loop') return ({ devpath }) => basename(devpath) === basename(device.path);
  return ({ devpath }) => devpath.includes(`:0:${device.unit}:0/block/`);
}

/** What the look gives, once it gives anything: at once, or after some news. */
async function looked<T>(
  look: () => T | undefined,
  nextNews: () => Promise<unknown>,
  sentence: string,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    // Taken before the look: what comes during it wakes the wait below at once.
    const news = nextNews();
    const seen = look();
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
