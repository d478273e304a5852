/**
 * Mount options as the kernel takes them, and what its refusals mean. Invariant: an option is either passed on or
 * refused, never dropped; a disk whose last changes cannot be read is refused rather than served without them.
 */
import { Fault, messageOf } from '../../common/fault.ts';
import type { MountOption } from '../../common/volume-options.ts';
import { mount, type MountFlag } from '../../native/mounts.ts';
import { codeOf } from '../../native/system-error.ts';
import type { MountRequest } from '../ports/file-systems.ts';
import { patiently } from './patience.ts';

/** What the file system itself understands, and not the kernel's common code. */
const fileSystemOptions: readonly MountOption[] = ['discard', 'nodiscard'];

function flagsOf({ isReadOnly, options }: Pick<MountRequest, 'isReadOnly' | 'options'>): readonly MountFlag[] {
  const flags = options.filter((option) => !isOfFileSystem(option));
  return isReadOnly ? ['ro', ...flags] : flags;
}

/**
 * Our clones have UUIDs of their own. But a disk that was copied behind our back has its original's, and one that was
 * taken away under its mount finds its own still in use when it comes back: the kernel would mount neither as it is.
 */
function dataOf({ fstype, options }: Pick<MountRequest, 'fstype' | 'options'>): string {
  return [...(fstype === 'xfs' ? ['nouuid'] : []), ...options.filter(isOfFileSystem)].join(',');
}

function isOfFileSystem(option: MountOption): option is 'discard' | 'nodiscard' {
  return fileSystemOptions.includes(option);
}

export async function mountVolume(request: MountRequest): Promise<void> {
  const { devicePath, target, fstype } = request;
  try {
    await patiently(() =>
      mount({ source: devicePath, target, fstype, flags: flagsOf(request), data: dataOf(request) }),
    );
  } catch (error) {
    throw refusal(request, error);
  }
}

/** What the kernel's refusal to mount means. */
export function refusal(request: MountRequest, cause: unknown): Fault {
  const { devicePath, target, fstype, isReadOnly } = request;
  const what = `mounting ${devicePath} (${fstype}) at ${target}`;
  const fault = (code: Fault['code'], why: string): Fault => new Fault(code, `${what}: ${why}`, { cause });
  switch (codeOf(cause)) {
    case 'EROFS':
    case 'EACCES':
      return isReadOnly
        ? fault('DamagedVolume', unreplayed)
        : fault('NotSupported', 'its disk is read-only; mount it read-only');
    case 'EINVAL':
      return fault(
        'DamagedVolume',
        `the kernel refuses it: it is no sound ${fstype}, or knows not all options ${optionList(request)}`,
      );
    case 'ENODEV':
      return fault('NotSupported', `this kernel knows no ${fstype}; load or install its module`);
    case 'EBUSY':
      return fault('VolumeInUse', 'the disk is in use in another way on this machine');
    case 'EIO':
      // What btrfs answers where others say that the disk is read-only.
      return fault('DamagedVolume', fstype === 'btrfs' && isReadOnly ? `it is damaged, or ${unreplayed}` : damaged);
    case 'EUCLEAN':
    case 'EBADMSG':
      return fault('DamagedVolume', damaged);
    default:
      return fault('Internal', messageOf(cause));
  }
}

const unreplayed =
  'it was not unmounted cleanly and its disk is read-only, so its journal cannot be replayed; attach it read-write once';
const damaged = 'the file system or its disk is damaged; check it, or restore it';

function optionList({ options }: MountRequest): string {
  return options.length === 0 ? '(none)' : options.join(', ');
}
