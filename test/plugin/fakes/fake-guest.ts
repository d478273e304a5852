/**
 * A guest, its disks and its service in memory, for interleavings and lost replies that the real ones cannot be made to
 * show on demand. Keeps the truth (what is attached, formatted, mounted) and notes every act that would cost data.
 */
import { randomUUID } from 'node:crypto';
import { newDiskUuid } from '../../../common/disk-uuid.ts';
import { Fault } from '../../../common/fault.ts';
import type { Args, ChannelEvent, CommandName, Reply, Volume } from '../../../native/channel/contract.ts';
import type { Containers } from '../../../plugin/ports/containers.ts';
import type { Devices } from '../../../plugin/ports/devices.ts';
import type { FileSystems, MountedAt, MountRequest } from '../../../plugin/ports/file-systems.ts';
import type { Host } from '../../../plugin/ports/host.ts';
import type { MountPoints } from '../../../plugin/ports/mount-points.ts';
import type { ReferenceChange, ReferenceLog } from '../../../plugin/ports/reference-log.ts';
import { FakeHolders } from './fake-holders.ts';

interface FakeDisk {
  volume: Volume;
  isFormattedInCatalog: boolean;
  signature: string | undefined;
  timesFormatted: number;
  isAttached: boolean;
  mountedAt: string | undefined;
}

/** What happens to the next act of a kind: it fails before it acts, or its answer is lost after it acted. */
export type Trouble = 'refused' | 'request lost' | 'reply lost';
export type Act = CommandName | 'find' | 'mkfs' | 'mount' | 'unmount';

const vm = { id: 'vm-1', name: 'guest' };

export class FakeGuest {
  readonly disks = new Map<string, FakeDisk>();
  /** Acts that would have cost data, or broken Docker's use of a volume. Must stay empty. */
  readonly violations: string[] = [];
  readonly commandsSent: CommandName[] = [];
  /** Which disks were to be removed. */
  readonly removals: (string | undefined)[] = [];
  readonly folders = new Set<string>();
  readonly log: ReferenceChange[] = [];
  /** Devices that a container's own namespace keeps mounted. */
  readonly holders = new FakeHolders();
  /** Volumes of running containers, as Docker lists them; undefined while it cannot be asked. */
  listedByDocker: readonly string[] | undefined;
  ioCount = 0;
  onEvent: (event: ChannelEvent) => void = () => undefined;
  readonly #troubles: { act: Act; trouble: Trouble }[] = [];
  readonly #step: (label: string) => Promise<void>;
  #sequence = 0;

  /** @param step awaited at each point where the real thing would wait: a scheduler decides who goes on */
  constructor(step: (label: string) => Promise<void> = () => Promise.resolve()) {
    this.#step = step;
  }

  failNext(act: Act, trouble: Trouble): void {
    this.#troubles.push({ act, trouble });
  }

  calm(): void {
    this.#troubles.length = 0;
  }

  addVolume(name: string, change: Partial<Volume> = {}): FakeDisk {
    const [short = '', datastore = ''] = name.split('@');
    const volume: Volume = {
      name: short,
      datastore,
      uuid: newDiskUuid(randomUUID()),
      isNamedInFull: false,
      sizeBytes: 100 << 20,
      allocatedBytes: 0,
      fstype: 'ext4',
      diskformat: 'thin',
      access: 'read-write',
      attachAs: 'independent_persistent',
      mountOptions: [],
      createdAt: '2026-01-01T00:00:00.000Z',
      createdBy: vm.name,
      ...change,
    };
    const disk: FakeDisk = {
      volume,
      isFormattedInCatalog: false,
      signature: undefined,
      timesFormatted: 0,
      isAttached: false,
      mountedAt: undefined,
    };
    this.disks.set(name, disk);
    this.#publish(disk);
    return disk;
  }

  hello(): Reply<'hello'> {
    const attached = [...this.disks].filter(([, disk]) => disk.isAttached).map(([name]) => name);
    return {
      version: 3,
      vm,
      serviceVersion: '0',
      instanceId: 'i',
      defaultDatastore: 'local',
      datastores: ['local', 'other'],
      attached,
    };
  }

  /** The disk is pulled out, by whomever, and the service tells so. */
  takeOut(full: string): void {
    const disk = this.#disk(full);
    Object.assign(disk, { isAttached: false, volume: { ...disk.volume, attached: undefined } });
    this.#publish(disk);
  }

  async #call<C extends CommandName>(command: C, args: Args<C>, signal: AbortSignal): Promise<Reply<C>> {
    this.commandsSent.push(command);
    const trouble = this.#takeTrouble(command);
    await this.#step(`${command} goes out`);
    if (trouble === 'refused') throw new Fault('Busy', `${command} refused on order`);
    if (trouble !== 'request lost') await this.#step(`${command} acts`);
    const reply = trouble === 'request lost' ? undefined : this.#act(command, args);
    await this.#step(`${command} answers`);
    if (trouble !== undefined) throw new Fault('OutcomeUnknown', `${command}: ${trouble}`);
    signal.throwIfAborted();
    return reply as Reply<C>;
  }

  #act(command: CommandName, args: unknown): unknown {
    const name = (args as { name?: string }).name ?? '';
    const full = name.includes('@') ? name : `${name}@local`;
    const disk = this.disks.get(full);
    switch (command) {
      case 'create':
        return { volume: (disk ?? this.addVolume(full)).volume };
      case 'remove':
        if (disk?.isAttached) throw new Fault('VolumeInUse', `${full} is attached`);
        this.removals.push((args as Args<'remove'>).uuid);
        if (disk) this.#remove(full, disk);
        return {};
      case 'attach':
        return this.#attach(full, disk);
      case 'detach':
        if (disk) this.#detach(full, disk, args as Args<'detach'>);
        return {};
      case 'get':
        if (!disk) throw new Fault('VolumeNotFound', `${full} does not exist`);
        return { volume: disk.volume };
      case 'list':
        return { volumes: Array.from(this.disks.values(), (each) => each.volume) };
      case 'watch':
        return { sequence: this.#sequence };
      case 'hello':
        return this.hello();
      case 'ping':
        return {};
    }
  }

  #attach(full: string, disk: FakeDisk | undefined): Reply<'attach'> {
    if (!disk) throw new Fault('VolumeNotFound', `${full} does not exist`);
    disk.isAttached = true;
    const device = { kind: 'loop' as const, path: full, diskSequence: 1 };
    disk.volume = { ...disk.volume, attached: { vm, device } };
    this.#publish(disk);
    const isReadOnly = disk.volume.access === 'read-only' && disk.isFormattedInCatalog;
    return {
      volume: disk.volume,
      device,
      isReadOnly,
      isFormatted: disk.isFormattedInCatalog,
      isFreshClone: false,
      root: {},
    };
  }

  #detach(full: string, disk: FakeDisk, args: Args<'detach'>): void {
    if (disk.mountedAt !== undefined) this.violations.push(`${full} detached while mounted`);
    if (this.holders.has(full)) this.violations.push(`${full} detached under a container`);
    if (args.isFormatted && disk.signature === undefined) this.violations.push(`${full} reported formatted but is not`);
    disk.isFormattedInCatalog ||= args.isFormatted;
    this.takeOut(full);
  }

  #remove(full: string, disk: FakeDisk): void {
    this.disks.delete(full);
    this.onEvent({
      kind: 'removed',
      sequence: ++this.#sequence,
      name: disk.volume.name,
      datastore: disk.volume.datastore,
    });
  }

  #publish(disk: FakeDisk): void {
    this.onEvent({ kind: 'changed', sequence: ++this.#sequence, volume: disk.volume });
  }

  readonly host: Host = { call: (command, args, signal) => this.#call(command, args, signal) };

  readonly devices: Devices = {
    expect: () => {
      void this.#step('listen');
      return {
        find: async (device) => {
          await this.#mayFail('find');
          return device.kind === 'loop' ? device.path : '';
        },
        [Symbol.dispose]: () => undefined,
      };
    },
    leaving: () => ({ gone: () => Promise.resolve(), [Symbol.dispose]: () => undefined }),
    ioCount: () => this.ioCount,
  };

  readonly fileSystems: FileSystems = {
    makeable: () => Promise.resolve(['ext4'] as const),
    signature: async (devicePath) => {
      await this.#step('probe');
      return this.#disk(devicePath).signature;
    },
    make: async (devicePath) => {
      await this.#mayFail('mkfs');
      const disk = this.#disk(devicePath);
      if (disk.signature !== undefined) this.violations.push(`${devicePath} formatted over ${disk.signature}`);
      disk.signature = 'ext4';
      disk.timesFormatted += 1;
    },
    prepareClone: () => Promise.resolve(),
    mount: (request) => this.#mount(request),
    unmount: async (target) => {
      await this.#mayFail('unmount');
      for (const disk of this.disks.values()) if (disk.mountedAt === target) disk.mountedAt = undefined;
    },
    isMountPoint: (path) => Promise.resolve(this.#mounts().some(({ target }) => target === path)),
    isHeld: (devicePath) =>
      Promise.resolve(this.holders.has(devicePath) || this.#disk(devicePath).mountedAt !== undefined),
    adornRoot: () => Promise.resolve(),
    mountsBelow: () => Promise.resolve(this.#mounts()),
  };

  readonly mountPoints: MountPoints = {
    make: async (path) => {
      await this.#step('mkdir');
      this.folders.add(path);
    },
    remove: async (path) => {
      await this.#step('rmdir');
      if (this.#mounts().some(({ target }) => target === path)) this.violations.push(`${path} removed while mounted`);
      this.folders.delete(path);
    },
    below: () => Promise.resolve([...this.folders]),
  };

  readonly containers: Containers = { volumesInUse: () => Promise.resolve(this.listedByDocker) };

  readonly referenceLog: ReferenceLog = {
    read: () => this.log,
    append: (change) => {
      this.log.push(change);
    },
    close: () => undefined,
  };

  async #mount({ devicePath, target }: MountRequest): Promise<void> {
    await this.#mayFail('mount');
    const disk = this.#disk(devicePath);
    if (disk.mountedAt !== undefined) this.violations.push(`${devicePath} mounted twice`);
    if (!disk.isAttached) this.violations.push(`${devicePath} mounted while not attached`);
    if (disk.signature === undefined) this.violations.push(`${devicePath} mounted unformatted`);
    if (!this.folders.has(target)) this.violations.push(`${target} is no folder`);
    disk.mountedAt = target;
  }

  #mounts(): readonly MountedAt[] {
    return [...this.disks].flatMap(([devicePath, { mountedAt }]) =>
      mountedAt === undefined ? [] : [{ target: mountedAt, devicePath, fstype: 'ext4' as const, isReadOnly: false }],
    );
  }

  #disk(devicePath: string): FakeDisk {
    const disk = this.disks.get(devicePath);
    if (!disk) throw new Fault('Internal', `no disk ${devicePath}`);
    return disk;
  }

  async #mayFail(act: Act): Promise<void> {
    const trouble = this.#takeTrouble(act);
    await this.#step(act);
    if (trouble !== undefined) throw new Fault('DeviceTimeout', `${act} failed on order`);
  }

  #takeTrouble(act: Act): Trouble | undefined {
    const place = this.#troubles.findIndex((candidate) => candidate.act === act);
    return place === -1 ? undefined : this.#troubles.splice(place, 1)[0]?.trouble;
  }
}
