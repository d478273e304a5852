/**
 * Attached disks as they arrive in this guest. Invariants: a device is found only by what names it for certain (its
 * disk sequence number, or its controller's address and unit), never by a name that is used again; an arrival between
 * `expect` and `find` is not missed, since every find looks first and is woken by whatever comes after.
 */
import { abortable } from '../../common/deadline.ts';
import { Fault } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import type { Device } from '../../native/channel/contract.ts';
import { UeventListener, type UeventSubscriber } from '../../native/uevents.ts';
import type { Devices, ExpectedDevice } from '../ports/devices.ts';
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
    let arrival = Promise.withResolvers<undefined>();
    const subscription = this.#news.subscribe((event) => {
      if (event === 'overflow') this.#logger.warn('news of devices were lost; looking again');
      else if (event.subsystem !== 'block') return;
      arrival.resolve(undefined);
      arrival = Promise.withResolvers();
    });
    return {
      find: (device, signal) => this.#find(device, () => arrival.promise, signal),
      [Symbol.dispose]: () => {
        subscription[Symbol.dispose]();
      },
    };
  }

  ioCount(devicePath: string): Promise<number> {
    return this.#disks.ioCount(devicePath);
  }

  [Symbol.dispose](): void {
    this.#news.close();
  }

  async #find(device: Device, nextArrival: () => Promise<unknown>, signal: AbortSignal): Promise<string> {
    for (;;) {
      // Taken before the look: what arrives during it wakes the wait below at once.
      const arrived = nextArrival();
      const path = await this.#disks.find(device);
      if (path !== undefined) return path;
      try {
        await abortable(arrived, signal);
      } catch (cause) {
        throw new Fault('DeviceTimeout', `the attached disk did not show up in this machine: ${described(device)}`, {
          cause,
        });
      }
    }
  }
}

function described(device: Device): string {
  if (device.kind === 'loop') return `${device.path} with disk sequence number ${device.diskSequence}`;
  return `SCSI unit ${device.unit} of the controller at PCI slot ${device.pciSlot}, bus ${device.pciBus}`;
}
