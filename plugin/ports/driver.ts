import type { LockState } from '../../common/keyed-lock.ts';
import type { DockerVolume } from '../core/docker-volume.ts';
import type { ProcessTime } from './holders.ts';

/** What the doors (Docker's HTTP protocol, health) may ask of the plugin. */
export interface VolumeDriver {
  create(name: string, options: Readonly<Record<string, string>>, caller: AbortSignal): Promise<void>;
  remove(name: string, caller: AbortSignal): Promise<void>;
  /** The mounted path. If `caller` is aborted before it resolves, the reference is taken back and it rejects. */
  mount(name: string, id: string, caller: AbortSignal): Promise<string>;
  unmount(name: string, id: string, caller: AbortSignal): Promise<void>;
  /** The path of a mounted volume, empty when it is not mounted. Never waits. */
  path(name: string): string;
  /** Never waits. Throws VolumeNotFound only when that is certain, else HostUnavailable. */
  get(name: string): DockerVolume;
  /** Never waits. The serialised answer, made once for each state of the view. */
  list(): string;
  health(): Health;
  /**
   * dockerd was started: it may owe Unmounts, and may repeat Mounts.
   * @param at by default now, which is when it makes its handshake
   */
  activated(at?: ProcessTime): void;
}

export interface Health {
  readonly status: 'ok' | 'degraded';
  readonly host: {
    readonly address: string;
    readonly isConnected: boolean;
    /** Why it is not connected. */
    readonly error?: string | undefined;
    readonly viewAgeMs: number;
  };
  readonly volumes: { readonly known: number; readonly mounted: number };
  readonly mounted: readonly {
    readonly volume: string;
    readonly path: string;
    readonly references: readonly string[];
  }[];
  readonly problems: readonly string[];
  /** Who holds and who waits for a volume; empty when nothing is under way. */
  readonly locks: readonly LockState[];
}
