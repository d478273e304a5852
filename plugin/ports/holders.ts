/** Who uses a mounted device outside this process's own mount namespace: containers that Docker started. */
export interface Holders {
  /** Whether a process in another mount namespace has the device mounted. Costs a walk over all processes. */
  isMountedElsewhere(devicePath: string): Promise<boolean>;
}
