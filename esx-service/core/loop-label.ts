/**
 * The mark on a loop device that says which VM holds which disk through it. The kernel keeps at most 63 bytes, so the
 * VM is named by a hash of its id.
 */
import { createHash } from 'node:crypto';
import { type DiskUuid, isDiskUuid } from '../../common/disk-uuid.ts';

const prefix = 'vmdk';
const vmMarkDigits = 16;

export interface LoopLabel {
  readonly vmMark: string;
  readonly uuid: DiskUuid;
}

export function vmMark(vmId: string): string {
  return createHash('sha256').update(vmId).digest('hex').slice(0, vmMarkDigits);
}

export function writeLoopLabel(vmId: string, uuid: DiskUuid): string {
  return `${prefix}:${vmMark(vmId)}:${uuid}`;
}

/** Undefined when the label is not ours. */
export function parseLoopLabel(label: string): LoopLabel | undefined {
  const [first, mark, uuid, ...more] = label.split(':');
  if (first !== prefix || mark?.length !== vmMarkDigits || more.length > 0) return undefined;
  return uuid !== undefined && isDiskUuid(uuid) ? { vmMark: mark, uuid } : undefined;
}
