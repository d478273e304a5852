/**
 * What a disk holds, as libblkid knows it.
 *
 * Invariant: undefined means that everything was read and nothing was known in it: such a disk may be formatted. An
 * unreadable, damaged or unclear disk never gives undefined.
 */
import { cString, libvmci, textAt } from './ffi.ts';
import { checked } from './system-error.ts';

export interface Signature {
  /** "ext4", "xfs", "LVM2_member", "gpt", "dos", ... */
  readonly type: string;
  /** "filesystem", "raid", "crypto", "other", or "partition-table". */
  readonly usage: string;
  /** Empty if there is none. */
  readonly uuid: string;
  /** Empty if there is none. */
  readonly label: string;
}

/** Several signatures contradict each other; which one counts cannot be told. */
export class AmbivalentSignatureError extends Error {
  override readonly name = 'AmbivalentSignatureError';
  readonly path: string;

  constructor(path: string) {
    super(
      `${path} carries the signatures of several file systems: the disk is ambivalent, nobody can tell what it holds`,
    );
    this.path = path;
  }
}

const structBytes = 416;
const ambivalent = 2;
const probeCall = libvmci.function('vmci_signature_probe', 'pointer', 'pointer');

/** @throws AmbivalentSignatureError, or the failed read as a system error */
export async function probeSignature(devicePath: string): Promise<Signature | undefined> {
  const bytes = Buffer.alloc(structBytes);
  const result = checked(await probeCall.later(cString(devicePath), bytes), 'read', devicePath);
  if (result === 0) return undefined;
  if (result === ambivalent) throw new AmbivalentSignatureError(devicePath);
  return {
    type: textAt(bytes, 0, 64),
    usage: textAt(bytes, 64, 32),
    uuid: textAt(bytes, 96, 64),
    label: textAt(bytes, 160, 256),
  };
}
