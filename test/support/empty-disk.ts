/** The arguments of a create as the plugin sends them for a volume without options, but smaller. */
import type { Args } from '../../native/channel/contract.ts';

const mebibyte = 1024 * 1024;

export function emptyDisk(name: string): Args<'create'> {
  return {
    name,
    sizeBytes: 8 * mebibyte,
    fstype: 'ext4',
    diskformat: 'thin',
    access: 'read-write',
    attachAs: 'independent_persistent',
    mountOptions: [],
    root: {},
  };
}
