/** What Docker says of its containers. It may be down, or not to be asked at all: then nothing is known. */
export interface Containers {
  /** Names, as Docker has them, of this driver's volumes that running containers list; undefined when not known. */
  volumesInUse(): Promise<readonly string[] | undefined>;
}
