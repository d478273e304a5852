/**
 * What to do about a volume after a restart of whatever side, from what is seen of it. Pure. Invariants: what anybody
 * uses, or may use, is neither unmounted nor detached; what nobody uses does not stay; what does not fit together is
 * told.
 */
export interface Seen {
  /** Whether the service says that its disk is attached here. */
  readonly isAttached: boolean;
  /** What is mounted at the volume's path: nothing, its disk, or something else. */
  readonly mounted: 'nothing' | 'its disk' | 'something else';
  /** Docker's uses of it that are recorded. */
  readonly references: number;
  /** Whether anything but our own mount uses the disk, or what is mounted in its place; undefined when nobody can tell. */
  readonly isUsedElsewhere: boolean | undefined;
}

export type RecoveryStep =
  /** As it should be. */
  | { readonly do: 'nothing' }
  /** Held as it is, with its references; told as a problem where there is one. */
  | { readonly do: 'take up'; readonly problem?: string }
  /** Its containers have their own mounts of it; ours is missing. */
  | { readonly do: 'mount again' }
  | { readonly do: 'let go' }
  /** A mount whose disk is not attached here any more. */
  | { readonly do: 'unmount' }
  | { readonly do: 'leave alone'; readonly problem: string };

export function planRecovery(name: string, path: string, seen: Seen): RecoveryStep {
  const { isAttached, isUsedElsewhere, mounted, references } = seen;
  if (!isAttached) {
    if (mounted === 'nothing') return { do: 'nothing' };
    if (isUsedElsewhere === false) return { do: 'unmount' };
    return { do: 'leave alone', problem: lostDisk(name, path) };
  }
  switch (mounted) {
    case 'something else':
      if (isUsedElsewhere === false) return { do: 'unmount' };
      return { do: 'leave alone', problem: `at ${path} something else is mounted than volume ${name}; unmount it` };
    case 'its disk':
      if (references > 0) return { do: 'take up' };
      if (isUsedElsewhere === false) return { do: 'let go' };
      return isUsedElsewhere ? { do: 'take up', problem: usedWithoutReference(name) } : { do: 'take up' };
    case 'nothing':
      if (isUsedElsewhere === false) return { do: 'let go' };
      if (isUsedElsewhere && references > 0) return { do: 'mount again' };
      return isUsedElsewhere ? { do: 'take up', problem: usedWithoutReference(name) } : { do: 'take up' };
  }
}

/** What to tell of a mount whose disk was taken out under it. */
export function lostDisk(name: string, path: string): string {
  return `volume ${name} is mounted at ${path}, but its disk is not attached to this machine any more; stop what uses it, and it is unmounted by itself`;
}

function usedWithoutReference(name: string): string {
  return `volume ${name} is used without a reference; it is left alone`;
}
