/** The plugin's own account of itself, from memory alone. */
import type { LockState } from '../../common/keyed-lock.ts';
import { allOf } from '../core/references.ts';
import type { Health } from '../ports/driver.ts';
import type { HeldVolumes } from './held-volumes.ts';
import { lostDiskOf } from './lost-disks.ts';
import type { VolumeView } from './volume-view.ts';

export interface HealthSources {
  readonly address: string;
  readonly view: VolumeView;
  readonly held: HeldVolumes;
  readonly isHostConnected: () => boolean;
  /** Why the last connection ended, or could not be made. */
  readonly lastHostError: () => string | undefined;
  readonly locks: () => readonly LockState[];
  /** What could not be brought into step yet. */
  readonly problems: () => readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export function healthOf(sources: HealthSources): Health {
  const { address, view, held, isHostConnected, lastHostError, locks, problems, now } = sources;
  const isConnected = isHostConnected();
  const mounted = Array.from(held.values()).flatMap(({ disk, references }) =>
    disk.path === undefined ? [] : [{ volume: disk.name, path: disk.path, references: allOf(references) }],
  );
  const lost = Array.from(held.values(), (one) => lostDiskOf(one, view) ?? []).flat();
  const found = [...new Set([...problems(), ...lost])];
  return {
    status: isConnected && found.length === 0 ? 'ok' : 'degraded',
    host: {
      address,
      isConnected,
      error: isConnected ? undefined : lastHostError(),
      viewAgeMs: now() - (view.trueAt?.getTime() ?? 0),
    },
    volumes: { known: view.size, mounted: mounted.length },
    mounted,
    problems: found,
    locks: locks(),
  };
}
