/** Where an attached disk shows up in this guest. */
import type { Device } from '../../native/channel/contract.ts';

export interface Devices {
  /**
   * Starts to listen for arriving devices. To be called before the attach command goes out, so that an arrival before
   * its reply is not missed; dispose it when the device was found or is no longer wanted.
   */
  expect(): ExpectedDevice;
  /** Reads and writes that the device has completed so far. */
  ioCount(devicePath: string): Promise<number>;
}

export interface ExpectedDevice extends Disposable {
  /**
   * The path of the block device, once it is there and is surely the one meant.
   * @throws Fault DeviceTimeout when the signal is aborted first
   */
  find(device: Device, signal: AbortSignal): Promise<string>;
}
