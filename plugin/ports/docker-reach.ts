/** Whether Docker sees what we mount: it gives containers whatever *it* finds at the path that a Mount answers. */
export interface DockerReach {
  /** True only when dockerd surely has no mount of the device, which is mounted here. */
  isHidden(devicePath: string): Promise<boolean>;
}
