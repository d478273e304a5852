/** Where an attached disk shows up in this guest, and when it is gone. */
import type { Device } from '../../native/channel/contract.ts';

export interface Devices {
  /**
   * Starts to listen for arriving devices. To be called before the attach command goes out, so that an arrival before
   * its reply is not missed; dispose it when the device was found or is no longer wanted.
   */
  expect(): ExpectedDevice;
  /** To be called before the detach goes out, so that what then stands under the same name is not taken for the disk. */
  leaving(devicePath: string): LeavingDevice;
  /** Reads and writes that the device has completed so far; 0 once it is gone. */
  ioCount(devicePath: string): number;
}

export interface ExpectedDevice extends Disposable {
  /**
   * The path of the block device, once it is there and is surely the one meant.
   * @throws Fault DeviceTimeout when the signal is aborted first
   */
  find(device: Device, signal: AbortSignal): Promise<string>;
}

export interface LeavingDevice extends Disposable {
  /**
   * Resolves when the kernel has let go the device: it can be late, and until then would show the disk that was pulled
   * out as the one that is plugged in there next.
   * @throws Fault DeviceTimeout when the signal is aborted first
   */
  gone(signal: AbortSignal): Promise<void>;
}
