/** Who else has a mounted device: containers, and whoever bound or mounted it besides us. */
export interface Holders {
  /**
   * Whether anything but our own mount at `path` has the device mounted, in whatever mount namespace. Costs a walk over
   * all processes.
   */
  isMountedElsewhere(devicePath: string, path: string | undefined): Promise<boolean>;
  /** Whether processes other than our own can be seen: not in a container with process IDs of its own. */
  readonly seesOthers: boolean;
}
