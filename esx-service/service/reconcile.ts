/**
 * Compares the catalog with what the hypervisor says and what the datastores hold, and mends it. Invariants: what is seen
 * from afar only makes a volume a suspect; it is changed under its own lock, by what is seen then, so that no command in
 * flight is taken for a difference; a volume that is busy is left to the command that has it, and told; nothing is held
 * that a reader or another volume waits for; only what surely is there, or surely is gone, changes anything.
 */
import { abortable, deadline } from '../../common/deadline.ts';
import { faultOf } from '../../common/fault.ts';
import { inParallel } from '../../common/in-parallel.ts';
import { fullName, type FullName, type VolumeName } from '../../common/names.ts';
import { type CheckReport, findingsOf } from '../core/check-report.ts';
import { type Attachment, deviceText, markShared, withTwin } from '../core/holders.ts';
import { DiskIndex, mayBeShared, strays, suspectsByHolder, suspectsByName } from '../core/suspects.ts';
import { fullNameOf, type VolumeRecord, withProblem } from '../core/volume-record.ts';
import type { Datastore, Listing } from '../ports/datastore.ts';
import { FreshAnswers } from './fresh-answers.ts';
import { type Check, mend, type Suspect, twinOf } from './mend.ts';
import { type Service, writeLock } from './service.ts';
import { attachmentsOf } from './truth.ts';

/** For a command that has a volume to end. */
const waitMs = 1_000;
/** A disk that hangs takes no more worker threads than these. */
const lookedAtOnce = 8;

/** @param signal ends it early; what was mended by then stays so */
export async function reconcile(service: Service, signal: AbortSignal): Promise<CheckReport> {
  const [at, beganMs] = [service.now(), performance.now()];
  const { records } = service.catalog.view;
  const ask = new FreshAnswers(() => attachmentsOf(service.hypervisor, service.askTimeoutMs, signal));
  const shared = { service, signal, findings: new Set<string>(), disks: new DiskIndex(records), ask: () => ask.get() };
  const attachments = await askAll(shared);
  const check: Check = { ...shared, first: { attachments, idle: idleIn(records) } };
  await Promise.all(service.datastores.all.map((datastore) => checkDatastore(check, datastore, attachments)));
  await checkShared(check);
  if (attachments) await checkStrays(check, attachments, records);
  signal.throwIfAborted();
  const { length: volumes } = service.catalog.view.records;
  return {
    at: at.toISOString(),
    tookMs: Math.round(performance.now() - beganMs),
    volumes,
    findings: [...check.findings].sort(),
  };
}

async function askAll(check: Pick<Check, 'ask' | 'findings'>): Promise<readonly Attachment[] | undefined> {
  try {
    return await check.ask();
  } catch (error) {
    check.findings.add(`it is not known what is attached: ${faultOf(error).message}`);
    return undefined;
  }
}

/** Volumes that cannot be used, and that nobody holds. */
function idleIn(records: readonly VolumeRecord[]): ReadonlySet<VolumeRecord> {
  return new Set(
    records.filter(
      ({ volume, problems }) =>
        volume.problem !== undefined && volume.attached === undefined && problems.holder === undefined,
    ),
  );
}

async function checkDatastore(
  check: Check,
  datastore: Datastore,
  attachments: readonly Attachment[] | undefined,
): Promise<void> {
  const { findings, service, signal } = check;
  const known = (): VolumeRecord[] =>
    service.catalog.view.records.filter(({ volume }) => volume.datastore === datastore.name);
  try {
    const listing = await withinTime(check, datastore, datastore.list());
    const byHolder = attachments ? suspectsByHolder(known(), attachments) : [];
    const suspects = await suspectsIn(check, datastore, known(), listing, attachments !== undefined);
    await lookAtAll(check, datastore, new Set([...suspects, ...namesOf(byHolder)]), { isOther: listing.isOther });
  } catch (error) {
    signal.throwIfAborted();
    const { message, class: kind } = faultOf(error);
    if (kind !== 'unreachable') {
      findings.add(`the volumes of datastore ${datastore.name} (${datastore.path}) were not looked at: ${message}`);
      return;
    }
    const volumes = known();
    findings.add(`${message}; its ${volumes.length} volumes cannot be used until then`);
    const byHolder = new Set(attachments ? suspectsByHolder(volumes, attachments) : []);
    const news = volumes.filter((record) => record.problems.files !== message && !byHolder.has(record));
    await lookAtAll(check, datastore, namesOf([...byHolder]), { gone: message });
    await lookAtAll(check, datastore, namesOf(news), { gone: message, isHolderSure: true });
  }
}

async function suspectsIn(
  check: Check,
  datastore: Datastore,
  known: readonly VolumeRecord[],
  { files }: Listing,
  isHolderKnown: boolean,
): Promise<Set<VolumeName>> {
  const suspects = suspectsByName(known, files);
  const others = known.filter(({ volume }) => !suspects.has(volume.name as VolumeName));
  const changed = await withinTime(check, datastore, datastore.changedDisks(others));
  // To ask once more for each of thousands would tell nothing else.
  const inDoubt = isHolderKnown ? known.filter((record) => check.service.doubts.has(fullNameOf(record))) : [];
  return new Set([...suspects, ...namesOf(changed), ...namesOf(inDoubt)]);
}

function namesOf(records: readonly VolumeRecord[]): Set<VolumeName> {
  return new Set(records.map(({ volume }) => volume.name as VolumeName));
}

/** A disk that does not answer may be there or not; it must not hold up the others for ever. */
async function withinTime<T>({ service, signal }: Check, { name }: Datastore, work: Promise<T>): Promise<T> {
  using limit = deadline(service.askTimeoutMs, `looking at datastore ${name}`, signal);
  return await abortable(work, limit.signal);
}

async function lookAtAll(
  check: Check,
  datastore: Datastore,
  names: ReadonlySet<VolumeName>,
  state: Pick<Suspect, 'gone' | 'isOther' | 'isHolderSure'>,
): Promise<void> {
  let backCount = 0;
  const look = async (name: VolumeName): Promise<void> => {
    const full = fullName(name, datastore.name);
    const before = check.service.catalog.find(full);
    const after = await mend(check, { ...state, name, full, datastore });
    // What is so of the whole datastore is told once.
    if (state.isOther && before?.volume.problem !== undefined && after && after.volume.problem === undefined) {
      backCount += 1;
    } else if (after) tell(check, before, state.gone === undefined ? after : asIfThere(before, after));
  };
  await inParallel(names, lookedAtOnce, (name) => underLock(check, fullName(name, datastore.name), () => look(name)));
  if (backCount === 0) return;
  const { name, path } = datastore;
  check.findings.add(`datastore ${name} (${path}) is back, and ${backCount} of its volumes can be used again`);
}

function asIfThere(before: VolumeRecord | undefined, after: VolumeRecord): VolumeRecord {
  return withProblem(after, 'files', before?.problems.files);
}

function tell({ findings }: Check, before: VolumeRecord | undefined, after: VolumeRecord): void {
  for (const finding of findingsOf(before, after)) findings.add(finding);
}

/** Waits for a volume a little; what it cannot do now the next check does. */
async function underLock(check: Check, full: FullName, work: () => Promise<void>): Promise<void> {
  const { service, signal, findings } = check;
  // One that nobody knows and somebody works on is being created.
  if (!service.catalog.find(full) && service.locks.isTaken('volume', full)) return;
  try {
    using wait = deadline(waitMs, 'waiting for the volume', signal);
    await service.locks.hold([writeLock(full)], { signal: wait.signal, what: 'check' }, work);
  } catch (error) {
    signal.throwIfAborted();
    findings.add(`volume ${full} was not looked at: ${faultOf(error).message}`);
  }
}

/** Two volumes of one extent name each other, and neither any more when one of them has got its own. */
async function checkShared(check: Check): Promise<void> {
  const { catalog } = check.service;
  const { records } = catalog.view;
  if (!mayBeShared(records)) return;
  const marked = markShared(records);
  for (const [place, record] of records.entries()) {
    if (marked[place] === record) continue;
    await underLock(check, fullNameOf(record), () => {
      const before = catalog.find(fullNameOf(record));
      const after = before && withTwin(before, twinOf(check, before));
      if (after && after !== before) {
        catalog.publish(after);
        tell(check, before, after);
      }
      return Promise.resolve();
    });
  }
}

/** A disk is only told to be of no volume if it was so all the time between two answers. */
async function checkStrays(
  check: Check,
  attachments: readonly Attachment[],
  recordsBefore: readonly VolumeRecord[],
): Promise<void> {
  const { catalog } = check.service;
  const folders = check.service.datastores.all.map(({ path }) => path);
  const first = strays(attachments, folders, recordsBefore, catalog.view.records);
  if (first.length === 0) return;
  const again = (await askAll(check)) ?? [];
  for (const { holder, diskId, device } of strays(again, folders, recordsBefore, catalog.view.records)) {
    if (!('vm' in holder) || !first.some((stray) => stray.diskId === diskId)) continue;
    const where = deviceText(device);
    check.findings.add(
      `VM ${holder.vm.name} holds ${where}, which is the disk of no volume: let it go there, and detach ${where} by hand`,
    );
  }
}
