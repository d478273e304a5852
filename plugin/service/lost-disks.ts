/**
 * Mounts whose disks were taken out under them, by somebody beside the plugin. Nothing that was not on the disk by then can be
 * read or written any more; so such a volume is mounted for nobody else, and comes back by its last Unmount and the next
 * Mount.
 */
import { lostDisk } from '../core/recovery-plan.ts';
import type { HeldVolume } from './held-volumes.ts';
import type { VolumeView } from './volume-view.ts';

/** The sentence for users; undefined when the volume is in order. */
export function lostDiskOf({ disk: { name, path } }: HeldVolume, view: VolumeView): string | undefined {
  return path === undefined || view.isAttachedHere(name) ? undefined : lostDisk(name, path);
}
