/**
 * The references to one volume: a multiset of Docker's mount IDs. IDs are hints: the same one may be mounted twice
 * (`docker cp`), or again without an Unmount between (a killed dockerd). Those from before a restart of dockerd or of
 * the plugin are *carried over* and give way to the first Mount of the same ID. Pure: each change is a new value.
 */
export interface References {
  readonly current: readonly string[];
  readonly carried: readonly string[];
}

export const noReferences: References = { current: [], carried: [] };

export function countOf(references: References): number {
  return references.current.length + references.carried.length;
}

export function allOf(references: References): readonly string[] {
  return [...references.current, ...references.carried];
}

/** What a Mount of `id` does: whether it takes the place of a carried reference, so that the count stays. */
export function replacesCarried(references: References, id: string): boolean {
  return references.carried.includes(id);
}

/** @param isReplacing whether a carried reference of the same ID gives way: it does when no holder of it lives */
export function withReference(references: References, id: string, isReplacing: boolean): References {
  return {
    current: [...references.current, id],
    carried: isReplacing ? withoutOne(references.carried, id) : references.carried,
  };
}

/** Takes one reference of this ID away; an unknown ID changes nothing, and gives the same value back. */
export function withoutReference(references: References, id: string): References {
  if (references.current.includes(id)) return { ...references, current: withoutOne(references.current, id) };
  if (references.carried.includes(id)) return { ...references, carried: withoutOne(references.carried, id) };
  return references;
}

/** Whether a reference of this ID is one that Docker surely knows of: it was taken since Docker's last start. */
export function isCurrent(references: References, id: string): boolean {
  return references.current.includes(id);
}

/** Marks all as carried over. */
export function carriedOver(references: References): References {
  return { current: [], carried: allOf(references) };
}

function withoutOne(ids: readonly string[], id: string): readonly string[] {
  const place = ids.indexOf(id);
  return place === -1 ? ids : ids.toSpliced(place, 1);
}
