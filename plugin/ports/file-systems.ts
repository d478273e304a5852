/** File systems on block devices: found, made, mounted. Nothing here decides what is allowed. */
import type { Fstype, MountOption, RootAttributes } from '../../common/volume-options.ts';

export interface FileSystems {
  /** The types that this guest has a mkfs for. */
  makeable(): Promise<readonly Fstype[]>;
  /** The signature on the device: a file system's type or any other (partition table, LVM, …); undefined when it bears none. */
  signature(devicePath: string, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Formats. The label is cut to what the type allows. Callers have just found that the device bears no signature: some
   * mkfs overwrite what they find without a word.
   */
  make(devicePath: string, fstype: Fstype, label: string, signal: AbortSignal): Promise<void>;
  /** Gives a clone's file system a UUID of its own and lets it fill its disk. May be repeated after a crash. */
  prepareClone(devicePath: string, fstype: Fstype, signal: AbortSignal): Promise<void>;
  mount(request: MountRequest): Promise<void>;
  /** Rejects with Fault VolumeInUse when something still uses the mount. */
  unmount(target: string): Promise<void>;
  /** Whether anything is mounted exactly there, as this process sees it. */
  isMountPoint(path: string): Promise<boolean>;
  /** Whether some mount, in whatever namespace, still holds the device; one that is gone is held by nobody. */
  isHeld(devicePath: string): Promise<boolean>;
  /**
   * Applies owner and mode to the root folder of a file system that is as mkfs left it, and empties it of lost+found;
   * leaves any other alone, so that a repeat after a crash never undoes what a user changed.
   */
  adornRoot(target: string, root: RootAttributes): Promise<void>;
  /** What is mounted below a folder in this process's mount namespace. */
  mountsBelow(folder: string): Promise<readonly MountedAt[]>;
}

export interface MountRequest {
  readonly devicePath: string;
  readonly target: string;
  readonly fstype: Fstype;
  readonly isReadOnly: boolean;
  readonly options: readonly MountOption[];
}

export interface MountedAt {
  readonly target: string;
  readonly devicePath: string;
  /** Undefined when volumes cannot have it. */
  readonly fstype: Fstype | undefined;
  readonly isReadOnly: boolean;
}
