/**
 * What has to happen to a disk that was just attached, before it can be mounted. Invariant: a disk is formatted only if
 * the catalog never saw it formatted **and** it bears no signature at all; whatever else it bears is never overwritten.
 * Pure: decides, does nothing.
 */
import { Fault } from '../../common/fault.ts';
import { type Fstype, fstypes } from '../../common/volume-options.ts';

export interface AttachedDisk {
  readonly fullName: string;
  /** What the catalog says; undefined for a disk made elsewhere. */
  readonly fstype: Fstype | undefined;
  readonly isFormatted: boolean;
  readonly isFreshClone: boolean;
  /** Space that the disk takes on its datastore; 0 means that it was never written to. */
  readonly allocatedBytes: number;
  /** What is on the disk; asked only when `needsProbe` says so. */
  readonly signature: string | undefined;
}

export type FileSystemStep =
  | { readonly do: 'format'; readonly fstype: Fstype }
  | { readonly do: 'prepare clone'; readonly fstype: Fstype }
  /** The format was made earlier but not reported: its root folder may still wait for owner and mode. */
  | { readonly do: 'adopt'; readonly fstype: Fstype }
  | { readonly do: 'nothing'; readonly fstype: Fstype };

/** A disk that the catalog knows as formatted, with its type, needs no look at its signature. */
export function needsProbe(disk: Omit<AttachedDisk, 'signature'>): boolean {
  return !disk.isFormatted || disk.fstype === undefined;
}

/** @throws Fault UnexpectedSignature when the disk bears something else than it should */
export function planFileSystem(disk: AttachedDisk): FileSystemStep {
  const found = fstypes.find((fstype) => fstype === disk.signature);
  const fstype = needsProbe(disk) ? found : disk.fstype;
  if (needsProbe(disk) && disk.signature === undefined) return planEmpty(disk);
  if (fstype === undefined || (disk.fstype !== undefined && fstype !== disk.fstype)) {
    throw new Fault(
      'UnexpectedSignature',
      `volume ${disk.fullName} bears a ${disk.signature ?? 'foreign'} signature where ${disk.fstype ?? fstypes.join(', ')} was expected; ` +
        'it was left untouched: look at the disk before you use or remove it',
    );
  }
  if (disk.isFreshClone) return { do: 'prepare clone', fstype };
  return { do: disk.isFormatted ? 'nothing' : 'adopt', fstype };
}

function planEmpty(disk: AttachedDisk): FileSystemStep {
  if (!disk.isFormatted && disk.fstype !== undefined) return { do: 'format', fstype: disk.fstype };
  if (!disk.isFormatted && disk.allocatedBytes === 0) return { do: 'format', fstype: 'ext4' };
  if (!disk.isFormatted) {
    throw new Fault(
      'UnexpectedSignature',
      `volume ${disk.fullName} was made elsewhere and holds data without a known signature; it was left untouched: format it by hand if the data is not needed`,
    );
  }
  throw new Fault(
    'UnexpectedSignature',
    `volume ${disk.fullName} was formatted once but bears no signature now; it was left untouched: look at the disk before you use or remove it`,
  );
}
