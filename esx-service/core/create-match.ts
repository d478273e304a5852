/** Whether an existing volume is what a create asks for. Pure: no I/O. */
import { formatSize } from '../../common/sizes.ts';
import type { Args } from '../../native/channel/contract.ts';
import type { VolumeRecord } from './volume-record.ts';

/**
 * One text for each option in which the volume is not what was asked for: "size 100MB, not 200MB".
 * @param cloneFrom the full name of the source that was asked for
 */
export function differences(
  record: VolumeRecord,
  asked: Args<'create'>,
  cloneFrom: string | undefined,
): readonly string[] {
  const { volume, root } = record;
  const isClone = cloneFrom !== undefined;
  return [
    compare('clone-from', volume.cloneFrom, cloneFrom),
    // A clone takes what it is not told from its source, so only what was asked for is compared.
    asked.sizeBytes === undefined ? undefined : compareSizes(volume.sizeBytes, asked.sizeBytes),
    isClone ? undefined : compare('fstype', volume.fstype, asked.fstype),
    compare('diskformat', volume.diskformat, asked.diskformat),
    compare('access', volume.access, asked.access),
    compare('attach-as', volume.attachAs, asked.attachAs),
    isClone && asked.mountOptions.length === 0
      ? undefined
      : compare('mount-options', list(volume.mountOptions), list(asked.mountOptions)),
    isClone ? undefined : compare('uid', root.uid, asked.root.uid),
    isClone ? undefined : compare('gid', root.gid, asked.root.gid),
    isClone ? undefined : compare('mode', root.mode?.toString(8), asked.root.mode?.toString(8)),
  ].filter((text) => text !== undefined);
}

function compare(
  option: string,
  has: string | number | undefined,
  wanted: string | number | undefined,
): string | undefined {
  return has === wanted ? undefined : `${option} ${has ?? 'none'}, not ${wanted ?? 'none'}`;
}

function compareSizes(has: number, wanted: number): string | undefined {
  const [hasText, wantedText] = [formatSize(has), formatSize(wanted)];
  if (hasText === wantedText) return compare('size in bytes', has, wanted);
  return compare('size', hasText, wantedText);
}

function list(options: readonly string[]): string | undefined {
  return options.length === 0 ? undefined : [...new Set(options)].sort().join(',');
}
