/** When a process started, on a clock of its machine that never goes back and stands still only for less than a tick. */
export type ProcessTime = number;

/** Who else has a mounted device: containers, and whoever bound or mounted it besides us. */
export interface Holders {
  /**
   * Whether anything but our own mount at `path` has the device mounted, in whatever mount namespace. Costs a walk over
   * all processes.
   * @param before leaves out mount namespaces all of whose processes started later
   */
  isMountedElsewhere(devicePath: string, path: string | undefined, before?: ProcessTime): Promise<boolean>;
  /** Of a process that would start now. */
  now(): ProcessTime;
  /** Whether processes other than our own can be seen: not in a container with process IDs of its own. */
  readonly seesOthers: boolean;
}
