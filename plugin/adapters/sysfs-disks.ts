/**
 * Finds a disk in sysfs, which is the kernel's memory: to hand a look at it to another thread costs far more than the
 * look, of which there are many while many disks come and go. Invariants: a path is given only when the kernel knows the
 * disk with a size; a loop device is the one meant only with its sequence number, a SCSI disk only below its controller,
 * at its unit and, where both tell one, with its world-wide name. Nothing is kept between calls.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../../common/fault.ts';
import type { Device } from '../../native/channel/contract.ts';
import { isController, type PciPlace } from './pci-places.ts';

export class SysfsDisks {
  readonly #root: string;

  /** @param root where sysfs is mounted */
  constructor(root: string) {
    this.#root = root;
  }

  /** The path of its node in /dev, or undefined while it is not there. */
  find(device: Device): string | undefined {
    return device.kind === 'loop' ? this.#findLoop(device) : this.#findScsi(device);
  }

  #findLoop({ path, diskSequence }: Device & { readonly kind: 'loop' }): string | undefined {
    const folder = `block/${path.slice('/dev/'.length)}`;
    const sequence = this.#read(`${folder}/diskseq`);
    // Kernels before 5.15 number no disks, and the service then has no number to tell.
    const isMeant = sequence === undefined ? diskSequence === 0 : Number(sequence) === diskSequence;
    return isMeant && this.#hasSize(folder) ? path : undefined;
  }

  /**
   * Reads and writes that a block device has completed, by the kernel's `stat` file (Documentation/block/stat.rst); one
   * that is gone completes none.
   */
  ioCount(devicePath: string): number {
    const stat = this.#read(`class/block/${basename(devicePath)}/stat`);
    if (stat === undefined) return 0;
    const fields = stat.split(/\s+/);
    return Number(fields[0]) + Number(fields[4]);
  }

  /**
   * A number that the kernel gives to a disk as it appears, and to no other for long after; undefined when no disk has
   * that name, and for loop devices, which stay when their disks go, and are told apart by their sequence numbers.
   */
  entryOf(devicePath: string): number | undefined {
    const name = basename(devicePath);
    if (name === '' || name.startsWith('loop')) return undefined;
    return statSync(join(this.#root, 'class/block', name), { throwIfNoEntry: false })?.ino;
  }

  #findScsi(device: Device & { readonly kind: 'scsi' }): string | undefined {
    for (const host of this.#names('class/scsi_host')) {
      const disk = `class/scsi_device/${host.slice('host'.length)}:0:${device.unit}:0/device`;
      // Mostly it is not there yet: the rest is for the one time when it is.
      if (!existsSync(join(this.#root, disk, 'block')) || !this.#isController(host, device)) continue;
      const [name] = this.#names(`${disk}/block`);
      if (name === undefined || !this.#hasName(disk, device.wwn) || !this.#hasSize(`block/${name}`)) continue;
      return `/dev/${name}`;
    }
    return undefined;
  }

  #isController(host: string, device: Device & { readonly kind: 'scsi' }): boolean {
    const slotAddress = this.#read(`bus/pci/slots/${device.pciSlot}/address`);
    return isController(this.#placeOf(host), device, slotAddress);
  }

  /** The PCI devices above a SCSI host, from the root bridge down. */
  #placeOf(host: string): PciPlace {
    const path = ifThere(() => realpathSync.native(join(this.#root, 'class/scsi_host', host)));
    return (path ?? '').split('/').filter((part) => /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(part));
  }

  /** The disk before it at this unit may still be going; hypervisors that give no name show none here either. */
  #hasName(disk: string, wanted: string | undefined): boolean {
    const shown = this.#read(`${disk}/wwid`);
    return wanted === undefined || shown === undefined || bareName(shown) === bareName(wanted);
  }

  #hasSize(folder: string): boolean {
    return Number(this.#read(`${folder}/size`) ?? 0) > 0;
  }

  #read(path: string): string | undefined {
    return ifThere(() => readFileSync(join(this.#root, path), 'utf8').trim());
  }

  #names(path: string): readonly string[] {
    return ifThere(() => readdirSync(join(this.#root, path))) ?? [];
  }
}

function bareName(name: string): string {
  return name.toLowerCase().replace(/^(?:naa\.|0x)/, '');
}

/** What goes while it is looked at is not there. */
function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EINVAL'].includes(errnoOf(error) ?? '');
}
