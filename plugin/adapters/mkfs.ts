/**
 * How a file system of each type is made. Pure. Invariants: the arguments never tell mkfs to overwrite what it knows to
 * be there; a label is never longer than its type allows, and never ends in half a character.
 */
import type { Fstype } from '../../common/volume-options.ts';

/** ext: `s_volume_name`; xfs: `sb_fname`; btrfs: what its tools keep of the 256 bytes in its superblock. */
const labelBytes: Readonly<Record<Fstype, number>> = { ext4: 16, ext3: 16, ext2: 16, xfs: 12, btrfs: 254 };

/** No pass of discards: the disk is new, so it would free nothing, and on a thick disk it would undo the allocation. */
const quietly: Readonly<Record<Fstype, readonly string[]>> = {
  ext4: ['-q', '-E', 'nodiscard'],
  ext3: ['-q', '-E', 'nodiscard'],
  ext2: ['-q', '-E', 'nodiscard'],
  xfs: ['-q', '-K'],
  btrfs: ['-q', '-K'],
};

export function mkfsTool(fstype: Fstype): string {
  return `mkfs.${fstype}`;
}

export function mkfsArguments(fstype: Fstype, label: string, devicePath: string): readonly string[] {
  const fitted = fitLabel(label, labelBytes[fstype]);
  return [...quietly[fstype], ...(fitted === '' ? [] : ['-L', fitted]), devicePath];
}

/** As many whole characters as fit into so many bytes. */
export function fitLabel(label: string, maxBytes: number): string {
  let fitted = '';
  let bytes = 0;
  for (const character of label) {
    bytes += Buffer.byteLength(character);
    if (bytes > maxBytes) break;
    fitted += character;
  }
  return fitted;
}
