/** The folders on which volumes are mounted. */
export interface MountPoints {
  /** Makes the folder and its parents; one that is there and empty is fine. */
  make(path: string): Promise<void>;
  /** Removes an empty folder by rmdir, never recursively: a failed unmount must not eat data. A missing one is fine. */
  remove(path: string): Promise<void>;
  /** The folders two levels below this one, where volumes are, or were, mounted. */
  below(mountRoot: string): Promise<readonly string[]>;
}
