/**
 * Places for disks on the SCSI controllers of one VM. Pure. Invariant: a slot is free only if the hypervisor names no disk
 * there and the caller promised it to nobody.
 */

export const controllerKinds = ['pvscsi', 'virtio-scsi'] as const;
export type ControllerKind = (typeof controllerKinds)[number];

export interface Controller {
  /** By which QEMU knows it. */
  readonly id: string;
  /** Undefined for one on which we see disks but put none. */
  readonly kind: ControllerKind | undefined;
  /** As the guest's sysfs shows it: `0000:00:03.0`. */
  readonly pciAddress: string;
}

export interface Slot {
  readonly controller: Controller;
  readonly unit: number;
}

/** ESXi keeps this unit of each controller for the controller itself, and some guests rely on that. */
const reservedUnit = 7;
/** The highest that QEMU's controller takes. */
const lastUnits = { pvscsi: 64, 'virtio-scsi': 255 } as const;

export function slotKey({ controller, unit }: Slot): string {
  return `${controller.id}:${unit}`;
}

export function slotCount(kind: ControllerKind): number {
  return unitsOf(kind).length;
}

/**
 * The lowest free unit of the controllers of that kind, of two equal ones the first controller's: so the disks spread
 * over the controllers, each of which has a queue of its own in the guest.
 * @param taken keys of slots
 */
export function freeSlot(
  controllers: readonly Controller[],
  kind: ControllerKind,
  taken: ReadonlySet<string>,
): Slot | undefined {
  const usable = controllers.filter((controller) => controller.kind === kind);
  for (const unit of unitsOf(kind)) {
    const controller = usable.find((candidate) => !taken.has(slotKey({ controller: candidate, unit })));
    if (controller) return { controller, unit };
  }
  return undefined;
}

function unitsOf(kind: ControllerKind): readonly number[] {
  const units = Array.from({ length: lastUnits[kind] + 1 }, (_, unit) => unit);
  return kind === 'pvscsi' ? units.filter((unit) => unit !== reservedUnit) : units;
}
