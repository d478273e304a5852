/**
 * One volume, looked at again and remembered as it is: by what its files and the hypervisor say now. Invariant: what one
 * of the two does not say stays as it was remembered; nobody gets a disk whose holder is not known. To be called with the
 * volume locked for writing.
 */
import { isDeepStrictEqual } from 'node:util';
import { abortable, deadline } from '../../common/deadline.ts';
import { faultOf } from '../../common/fault.ts';
import type { FullName, VolumeName } from '../../common/names.ts';
import { type Attachment, withHolder, withTwin } from '../core/holders.ts';
import { degraded, reread } from '../core/reread.ts';
import type { DiskIndex } from '../core/suspects.ts';
import type { VolumeRecord } from '../core/volume-record.ts';
import type { Datastore, FoundVolume } from '../ports/datastore.ts';
import type { Service } from './service.ts';
import { askHolder } from './truth.ts';

/** What all looks of one check share. */
export interface Check {
  readonly service: Service;
  readonly signal: AbortSignal;
  /** A sentence for each thing that was found. */
  readonly findings: Set<string>;
  readonly disks: DiskIndex;
  /** What is attached, asked for after the call. */
  readonly ask: () => Promise<readonly Attachment[]>;
  /** As it was when the check began. */
  readonly first: {
    readonly attachments: readonly Attachment[] | undefined;
    /** Nobody could get one of these since then: what was not attached is not attached. */
    readonly idle: ReadonlySet<VolumeRecord>;
  };
}

export interface Suspect {
  readonly name: VolumeName;
  readonly full: FullName;
  readonly datastore: Datastore;
  /** Why nothing of the datastore can be read, if that is so. */
  readonly gone?: string;
  /** Whether the datastore's folder may be another one than before. */
  readonly isOther?: boolean;
  /** Whether who holds it is as it is remembered. */
  readonly isHolderSure?: boolean;
}

/** Its files, or why they cannot be read. */
type Seen = FoundVolume | { readonly presence: 'unknown'; readonly problem: string };

/** @returns what is remembered now, if there is such a volume */
export async function mend(check: Check, suspect: Suspect): Promise<VolumeRecord | undefined> {
  const { service, signal: parent } = check;
  const before = service.catalog.find(suspect.full);
  const seen = await lookAt(check, suspect);
  if (!before && seen.presence !== 'volume') {
    if (seen.presence === 'parts') await finishRemoval(check, suspect);
    return undefined;
  }
  const see = (attachments?: readonly Attachment[]): VolumeRecord | undefined =>
    remembered(check, suspect, before, seen, attachments);
  const unasked = see();
  if (!unasked) return undefined;
  const publish = (): void => {
    if (!isDeepStrictEqual(unasked, before)) service.catalog.publish(unasked);
  };
  if (suspect.isHolderSure) publish();
  else {
    const ask = isSurelyFree(check, before, unasked) ? () => Promise.resolve([]) : check.ask;
    try {
      await askHolder(service, unasked, { parent, ask, see: (attachments) => see(attachments) ?? unasked });
    } catch (error) {
      check.findings.add(`it is not known who holds volume ${suspect.full}: ${faultOf(error).message}`);
      publish();
    }
  }
  const after = service.catalog.find(suspect.full);
  if (after) check.disks.add(after);
  return after;
}

/** To ask once more for each of thousands that come back would take minutes. */
function isSurelyFree({ first }: Check, before: VolumeRecord | undefined, { extent }: VolumeRecord): boolean {
  if (!first.attachments || !before || !first.idle.has(before)) return false;
  return !first.attachments.some(({ diskId }) => diskId === extent?.diskId);
}

async function lookAt({ service, signal }: Check, { name, full, datastore, gone }: Suspect): Promise<Seen> {
  if (gone !== undefined) return { presence: 'unknown', problem: gone };
  using limit = deadline(service.askTimeoutMs, `reading volume ${full}`, signal);
  try {
    return await abortable(datastore.readVolume(name), limit.signal);
  } catch (error) {
    const { class: kind, message: problem } = faultOf(error);
    if (kind === 'unreachable') return { presence: 'unknown', problem };
    throw error;
  }
}

/** @param attachments undefined when the hypervisor does not say */
function remembered(
  check: Check,
  { datastore, gone, isOther = false }: Suspect,
  before: VolumeRecord | undefined,
  seen: Seen,
  attachments: readonly Attachment[] | undefined,
): VolumeRecord | undefined {
  const isHeld = before !== undefined && isInUse(attachments ? withHolder(before, attachments) : before);
  let record: VolumeRecord | undefined;
  if (seen.presence === 'unknown') {
    // A datastore that comes back may give its files new identities.
    record = before && degraded(before, isHeld, gone === undefined ? before.extent : undefined, seen.problem);
  } else {
    const read = seen.presence === 'nothing' ? undefined : seen.record;
    record = reread(before, { read, folder: datastore.path, isHeld, isOtherFolder: isOther });
  }
  if (!record) return undefined;
  const shared = withTwin(record, twinOf(check, record));
  return attachments ? withHolder(shared, attachments) : shared;
}

function isInUse({ volume, problems }: VolumeRecord): boolean {
  return volume.attached !== undefined || problems.holder !== undefined;
}

/** Another volume that has the same extent at this moment. */
export function twinOf({ disks, service }: Check, record: VolumeRecord): FullName | undefined {
  if (!record.extent) return undefined;
  const { diskId } = record.extent;
  return disks.others(record).find((other) => service.catalog.find(other)?.extent?.diskId === diskId);
}

async function finishRemoval({ ask, findings }: Check, { name, full, datastore }: Suspect): Promise<void> {
  const held = new Set((await ask()).map(({ diskId }) => diskId));
  const reports = await datastore.finishRemoval(name, held);
  for (const report of reports) findings.add(`volume ${full} was removed, but ${report}`);
}
