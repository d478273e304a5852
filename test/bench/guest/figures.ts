/** What a run in guests found out, in milliseconds. Pure. */
import { median } from '../statistics.ts';

export const controllers = ['pvscsi', 'virtio-scsi'] as const;
export type ControllerName = (typeof controllers)[number];

/** From the first command over QMP. */
export interface BareTimes {
  /** Until QEMU has answered the last one. */
  readonly addReply: number;
  /** Until the guest's kernel has announced the last disk. */
  readonly added: number;
  readonly deleteReply: number;
  readonly removed: number;
  /** Until QEMU has reported the last device as deleted. */
  readonly deleted: number;
}

export interface MountTimes {
  readonly mount: number;
  readonly unmount: number;
}

/** Of many at once. */
export interface ManyTimes extends MountTimes {
  /** To the hypervisor, for all mounts and for all unmounts. */
  readonly mountCalls: number;
  readonly unmountCalls: number;
}

/** One after another in turns, so that what else the machine does hits all of them. */
export interface Round {
  readonly bare: readonly BareTimes[];
  readonly bareMany: BareTimes;
  /** A question that the plugin answers from memory, on the same way. */
  readonly asked: readonly number[];
  /** As many of them at once as there are mounts. */
  readonly askedMany: number;
  /** The first ones of a plugin that was just started. */
  readonly early: readonly MountTimes[];
  readonly one: readonly MountTimes[];
  readonly many: ManyTimes;
}

export interface ControllerFigures {
  readonly controller: ControllerName;
  readonly many: number;
  /** Which formats the volume; the later ones of the rounds do not. */
  readonly firstMount: number;
  readonly rounds: readonly Round[];
}

/** The median over all rounds of what is picked of each. */
export function over(rounds: readonly Round[], pick: (round: Round) => readonly number[]): number {
  return median(rounds.flatMap(pick));
}

/** Until both QEMU and the guest's kernel have let go the disk. */
export function pulledOut({ removed, deleted }: BareTimes): number {
  return Math.max(removed, deleted);
}
