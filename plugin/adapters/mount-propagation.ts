/**
 * Which mounts the kernel made of its own accord, by propagating one of ours. Pure. Invariant: only what goes when ours
 * goes is called an echo: it hangs at the same place of the same file system, below a mount that is a peer or a slave
 * of the one that ours hangs below. A bind mount of our mount is none, whatever its propagation.
 */
import { posix } from 'node:path';
import type { MountEntry } from '../../native/mountinfo.ts';

/** Where a mount hangs. */
export interface MountPlace {
  /** The file system of the mount below, and the path in it. */
  readonly point: string;
  /** Peer groups of the mount below: those that it shares with, and those that it is a slave of. */
  readonly shared: readonly string[];
  readonly masters: readonly string[];
}

/** The places of those entries of a whole table that are meant. */
export function placesOf(table: readonly MountEntry[], isMeant: (entry: MountEntry) => boolean): readonly MountPlace[] {
  const byId = new Map(table.map((entry) => [entry.mountId, entry]));
  return table.filter(isMeant).map((entry) => placeBelow(byId.get(entry.parentId), entry));
}

export function isEcho(place: MountPlace, ours: readonly MountPlace[]): boolean {
  return ours.some(
    ({ point, shared }) =>
      point === place.point && shared.some((group) => place.shared.includes(group) || place.masters.includes(group)),
  );
}

function placeBelow(parent: MountEntry | undefined, entry: MountEntry): MountPlace {
  if (!parent) return { point: '', shared: [], masters: [] };
  const { deviceMajor, deviceMinor, root, target, propagation } = parent;
  const path = posix.join(root, posix.relative(target, entry.target));
  return {
    point: `${deviceMajor}:${deviceMinor} ${path}`,
    shared: groups(propagation, 'shared:'),
    masters: groups(propagation, 'master:'),
  };
}

function groups(propagation: readonly string[], kind: string): readonly string[] {
  return propagation.filter((word) => word.startsWith(kind)).map((word) => word.slice(kind.length));
}
