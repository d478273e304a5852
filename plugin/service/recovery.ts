/**
 * Brings what this guest holds into step with what the service says is attached to it: at start, and with each new
 * session. Invariants: a mounted disk that has references or that any process still uses is left alone; an attached
 * disk that nothing uses is let go; a disk whose state cannot be told is left alone and reported; other volumes go on
 * meanwhile.
 */
import { deadline } from '../../common/deadline.ts';
import { faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { type FullName, fullName, parseFullName } from '../../common/names.ts';
import type { Reply } from '../../native/channel/contract.ts';
import { mountPathOf } from '../core/mount-path.ts';
import {
  carriedOver,
  countOf,
  noReferences,
  type References,
  withoutReference,
  withReference,
} from '../core/references.ts';
import type { FileSystems } from '../ports/file-systems.ts';
import type { Host } from '../ports/host.ts';
import type { ReferenceChange } from '../ports/reference-log.ts';
import type { DiskMounter } from './disk-mounter.ts';
import { letGo } from './let-go.ts';
import type { HeldVolumes } from './held-volumes.ts';
import type { Transitions } from './transitions.ts';
import type { Usage } from './usage.ts';
import type { VolumeView } from './volume-view.ts';

export interface RecoveryParts {
  readonly view: VolumeView;
  readonly held: HeldVolumes;
  readonly mounter: DiskMounter;
  readonly fileSystems: FileSystems;
  readonly usage: Usage;
  readonly transitions: Transitions;
  readonly logger: Logger;
  readonly mountRoot: string;
  /** Time limit for each volume, in milliseconds. */
  readonly volumeMs: number;
}

/** One connection to the service, whose view was read. */
export interface Session extends Host {
  readonly hello: Reply<'hello'>;
  /** Aborted when the session is over. */
  readonly closed: AbortSignal;
}

/** What could not be brought into step: a sentence for each volume. */
export type Problems = ReadonlyMap<FullName, string>;

/** @param recorded the references that an earlier process of this boot recorded; empty for later sessions */
export async function recover(
  session: Session,
  recorded: ReadonlyMap<FullName, References>,
  parts: RecoveryParts,
): Promise<Problems> {
  const names = new Set<FullName>(Array.from(parts.held.values(), (held) => held.disk.name));
  for (const text of session.hello.attached) {
    const { name, datastore } = parseFullName(text);
    names.add(fullName(name, datastore));
  }
  const problems = new Map<FullName, string>();
  const all = Array.from(names, async (name) => {
    const problem = await recoverOne(name, session, recorded.get(name) ?? noReferences, parts);
    if (problem !== undefined) problems.set(name, problem);
  });
  await Promise.all(all);
  return problems;
}

/** What the log of changes amounts to; all carried over, since the process that recorded them is gone. */
export function replay(changes: readonly ReferenceChange[]): ReadonlyMap<FullName, References> {
  const references = new Map<FullName, References>();
  for (const change of changes) {
    const before = references.get(change.volume) ?? noReferences;
    if (change.do === 'clear') references.delete(change.volume);
    else if (change.do === 'add') references.set(change.volume, withReference(before, change.id, false));
    else references.set(change.volume, withoutReference(before, change.id));
  }
  return new Map(Array.from(references, ([name, found]) => [name, carriedOver(found)]));
}

/** @returns what cannot be brought into step, if anything */
export async function recoverOne(
  name: FullName,
  { hello, closed }: Session,
  recorded: References,
  parts: RecoveryParts,
): Promise<string | undefined> {
  const { held, logger, transitions, usage } = parts;
  try {
    using limit = deadline(parts.volumeMs, `recovering ${name}`);
    return await transitions.run(name, 'recovery', limit.signal, async () => {
      // After its end the session's view may miss what was done since; the next session sees to this volume.
      if (closed.aborted) return undefined;
      if (!held.get(name) && isAttachedTo(hello.vm.id, name, parts.view))
        await adopt(name, recorded, parts, limit.signal);
      const known = held.get(name);
      if (!known || countOf(known.references) > 0) return undefined;
      if (await usage.isMounted(known.disk)) return `volume ${name} is used without a reference; it is left alone`;
      await letGo(known.disk, parts);
      logger.info('unused volume let go', { volume: name });
      return undefined;
    });
  } catch (error) {
    logger.warn('volume not recovered', { volume: name, ...failureFields(error) });
    return faultOf(error).message;
  }
}

/** @throws Fault HostUnavailable when that is in doubt: then the volume is reported, not taken for detached */
function isAttachedTo(vmId: string, name: FullName, view: VolumeView): boolean {
  try {
    return view.find(name).attached?.vm.id === vmId;
  } catch (error) {
    if (faultOf(error).class === 'missing') return false;
    throw error;
  }
}

/** Takes up a disk that the service says is ours: mounted where an earlier process mounted it, or only attached. */
async function adopt(name: FullName, recorded: References, parts: RecoveryParts, signal: AbortSignal): Promise<void> {
  const { disk, reply } = await parts.mounter.attach(name, signal);
  const path = mountPathOf(parts.mountRoot, name);
  const found = await parts.fileSystems.mountsBelow(parts.mountRoot);
  const mount = found.find((candidate) => candidate.target === path && candidate.devicePath === disk.devicePath);
  if (!mount) {
    parts.held.hold({ ...disk, isFormatted: reply.isFormatted });
    return;
  }
  parts.held.hold({ ...disk, path, isFormatted: true }, recorded);
  parts.logger.info('mounted volume taken up', { volume: name, path, references: countOf(recorded) });
}
