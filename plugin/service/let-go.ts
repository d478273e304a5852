/**
 * The way down of a volume that nobody references. Callers hold its lock. What cannot be let go stays held as it then
 * is (mounted, or attached only), so that a later call, or the next session with the service, tries again.
 */
import type { DiskMounter, HeldDisk } from './disk-mounter.ts';
import type { HeldVolumes } from './held-volumes.ts';

export interface LetGoParts {
  readonly mounter: DiskMounter;
  readonly held: HeldVolumes;
}

export async function letGo(disk: HeldDisk, { mounter, held }: LetGoParts): Promise<void> {
  const unmounted = await mounter.unmount(disk);
  if (unmounted !== disk) held.hold(unmounted);
  await mounter.detach(unmounted);
  held.drop(disk.name);
}
