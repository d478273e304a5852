/**
 * What one running QEMU says of itself, over one connection: who it is, its SCSI controllers, and every disk that it has
 * open. Invariant: an answer is what QEMU said after the call; only where a device is plugged in is remembered, until
 * QEMU tells that it is unplugged. Nothing is changed from here.
 */
import * as z from 'zod';
import { Fault } from '../../common/fault.ts';
import { isDiskUuid, type DiskUuid } from '../../common/disk-uuid.ts';
import { diskIdOfName } from '../core/qemu-names.ts';
import { type Controller, controllerKinds, type Slot } from '../core/scsi-slots.ts';
import { type QmpArguments, type QmpConnection, QmpRefusal } from './qmp-connection.ts';

/** A disk that QEMU has open. */
export interface OpenDisk {
  /** Undefined when something else is behind it than one of our disks. */
  readonly diskId: string | undefined;
  /** As QEMU names it in messages. */
  readonly name: string;
  /** By which its device is deleted, if the guest sees one. */
  readonly deviceId: string | undefined;
  /** Of all files behind it, as QEMU opened them. */
  readonly paths: readonly string[];
  readonly slot: Slot | undefined;
  readonly uuid: DiskUuid | undefined;
  readonly isReadOnly: boolean;
}

interface Place {
  readonly slot: Slot;
  readonly uuid: DiskUuid | undefined;
}

const identitySchema = z.object({ UUID: z.string() });
const nodeSchema = z.object({
  'node-name': z.string().default(''),
  ro: z.boolean(),
  drv: z.string(),
  image: z.unknown().optional(),
});
const nodesSchema = z.array(nodeSchema);
const blockSchema = z.array(
  z.object({ device: z.string(), qdev: z.string().optional(), inserted: nodeSchema.optional() }),
);
const childrenSchema = z.array(z.object({ name: z.string(), type: z.string() }));
const pciFunction = z.object({ qdev_id: z.string(), bus: z.number(), slot: z.number(), function: z.number() });
type PciDevice = z.infer<typeof pciFunction> & {
  readonly pci_bridge?: { readonly devices?: readonly PciDevice[] | undefined } | undefined;
};
const pciDevice: z.ZodType<PciDevice> = pciFunction.extend({
  get pci_bridge() {
    return z.object({ devices: z.array(pciDevice).optional() }).optional();
  },
});
const pciSchema = z.array(z.object({ devices: z.array(pciDevice) }));
/** Drivers of nodes that are files themselves. */
const fileDrivers: readonly string[] = ['file', 'host_device'];
const contextDevices: readonly string[] = ['child<vhost-vsock-pci>', 'child<vhost-vsock-pci-non-transitional>'];

export class QemuSession {
  readonly connection: QmpConnection;
  /** By device. */
  readonly #places = new Map<string, Place>();
  readonly #subscription: Disposable;
  /** A place that was asked for before one of these may be of a device that is gone. */
  #deletions = 0;

  constructor(connection: QmpConnection) {
    this.connection = connection;
    this.#subscription = connection.onEvent(({ name, data }) => {
      if (name !== 'DEVICE_DELETED') return;
      this.#places.delete(String(data['device'] ?? data['path']));
      this.#deletions += 1;
    });
  }

  async uuid(signal: AbortSignal): Promise<string> {
    return (await this.#read(identitySchema, 'query-uuid', {}, signal)).UUID;
  }

  /** The guest's vsock address, where QEMU has given it one through the host's kernel. */
  async contextId(signal: AbortSignal): Promise<number | undefined> {
    for (const folder of ['/machine/peripheral', '/machine/peripheral-anon']) {
      const devices = await this.#read(childrenSchema, 'qom-list', { path: folder }, signal);
      const found = devices.find(({ type }) => contextDevices.includes(type));
      if (found) return Number(await this.#property(`${folder}/${found.name}`, 'guest-cid', signal));
    }
    return undefined;
  }

  /** Those that have an id, by which alone QEMU tells where they are. */
  async controllers(signal: AbortSignal): Promise<readonly Controller[]> {
    const [buses, devices] = await Promise.all([
      this.#read(pciSchema, 'query-pci', {}, signal),
      this.#read(childrenSchema, 'qom-list', { path: '/machine/peripheral' }, signal),
    ]);
    const addresses = new Map(
      buses.flatMap((bus) => allBelow(bus.devices)).map((one) => [one.qdev_id, addressOf(one)]),
    );
    return devices.flatMap(({ name: id, type }) => {
      const pciAddress = addresses.get(id);
      const kind = controllerKinds.find((one) => new RegExp(`^child<${one}(?:-pci.*)?>$`).test(type));
      return pciAddress === undefined ? [] : [{ id, kind, pciAddress }];
    });
  }

  /** Each disk that the guest sees, and each file that is open without a device. */
  async openDisks(signal: AbortSignal): Promise<readonly OpenDisk[]> {
    const [blocks, nodes] = await Promise.all([
      this.#read(blockSchema, 'query-block', {}, signal),
      this.#read(nodesSchema, 'query-named-block-nodes', { flat: true }, signal),
    ]);
    const isAllKnown = blocks.every(({ qdev }) => qdev === undefined || this.#places.has(qdev));
    const controllers = isAllKnown ? [] : await this.controllers(signal);
    const disks = await Promise.all(
      blocks.map(async ({ device, qdev, inserted }): Promise<OpenDisk | undefined> => {
        const place = qdev === undefined ? undefined : await this.#placeOf(qdev, controllers, signal);
        if (!inserted) return place && { ...unknownDisk, ...place, name: qdev ?? device, deviceId: qdev };
        const node = inserted['node-name'];
        const { ro: isReadOnly, image } = inserted;
        const named = { diskId: diskIdOfName(node), name: qdev ?? device, deviceId: qdev };
        return { ...named, slot: place?.slot, uuid: place?.uuid, isReadOnly, paths: pathsIn(image) };
      }),
    );
    const seen = disks.filter((disk) => disk !== undefined);
    // One of ours that has no device yet, or none any more, is in the midst of a change.
    const changing = nodes.filter((node) => diskIdOfName(node['node-name']) !== undefined);
    const covered = new Set([...seen.map(({ paths }) => paths), ...changing.map(({ image }) => pathsIn(image))].flat());
    const others = nodes.flatMap((node): readonly OpenDisk[] => {
      const paths = pathsIn(node.image).filter((path) => !covered.has(path));
      if (paths.length === 0 || !fileDrivers.includes(node.drv)) return [];
      return [{ ...unknownDisk, name: node['node-name'], isReadOnly: node.ro, paths }];
    });
    return [...seen, ...others];
  }

  /** Our nodes, whether a device uses them or not. */
  async ourNodes(signal: AbortSignal): Promise<readonly string[]> {
    const nodes = await this.#read(nodesSchema, 'query-named-block-nodes', { flat: true }, signal);
    return nodes.map((node) => node['node-name']).filter((name) => diskIdOfName(name) !== undefined);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.connection[Symbol.dispose]();
  }

  /** @param device an id, or a path in QEMU's tree of objects */
  async #placeOf(device: string, controllers: readonly Controller[], signal: AbortSignal): Promise<Place | undefined> {
    const known = this.#places.get(device);
    if (known) return known;
    const deletions = this.#deletions;
    const path = device.startsWith('/') ? device : `/machine/peripheral/${device}`;
    try {
      const [bus, unit, serial] = await Promise.all(
        ['parent_bus', 'scsi-id', 'serial'].map((property) => this.#property(path, property, signal)),
      );
      const controller = controllers.find(({ id }) => String(bus).startsWith(`/machine/peripheral/${id}/`));
      if (!controller) return undefined;
      const uuid = typeof serial === 'string' && isDiskUuid(serial) ? serial : undefined;
      const place = { slot: { controller, unit: Number(unit) }, uuid };
      if (deletions === this.#deletions) this.#places.set(device, place);
      return place;
    } catch (error) {
      // It is gone meanwhile, or no SCSI disk: those have all three.
      if (error instanceof QmpRefusal) return undefined;
      throw error;
    }
  }

  async #property(path: string, property: string, signal: AbortSignal): Promise<unknown> {
    return await this.connection.ask('qom-get', { path, property }, signal);
  }

  async #read<T>(schema: z.ZodType<T>, command: string, args: QmpArguments, signal: AbortSignal): Promise<T> {
    const { data, error } = schema.safeParse(await this.connection.ask(command, args, signal));
    if (data !== undefined) return data;
    const sentence = `QEMU answered ${command} in a way that is not understood: ${error?.issues[0]?.message ?? ''}`;
    throw new Fault('HostUnavailable', sentence, { cause: error });
  }
}

const unknownDisk = {
  diskId: undefined,
  deviceId: undefined,
  paths: [],
  slot: undefined,
  uuid: undefined,
  isReadOnly: false,
} as const;

function allBelow(devices: readonly PciDevice[]): readonly PciDevice[] {
  return devices.flatMap((device) => [device, ...allBelow(device.pci_bridge?.devices ?? [])]);
}

function addressOf({ bus, slot, function: number }: PciDevice): string {
  const [busDigits, slotDigits] = [bus, slot].map((part) => part.toString(16).padStart(2, '0'));
  return `0000:${busDigits}:${slotDigits}.${number}`;
}

/** Every file name in QEMU's description of an image: its own, its extents', its backing images'. */
function pathsIn(image: unknown): readonly string[] {
  if (typeof image !== 'object' || image === null) return [];
  return Object.entries(image).flatMap(([key, value]: [string, unknown]) => {
    if (typeof value !== 'string') return pathsIn(value);
    if (!/(?:^|\.)filename$/.test(key)) return [];
    return value.startsWith('json:') ? pathsIn(JSON.parse(value.slice('json:'.length))) : [value];
  });
}
