/**
 * One start after a power cut, and all that must be true of it. Invariant of a sound trial: the volumes are as before
 * or as after what was done, and as after it once that was answered; no file is left that belongs to no volume, and none
 * of a volume is gone; a second start changes nothing; the same thing again succeeds and gives what it gave at first.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { messageOf } from '../../common/fault.ts';
import { diskIdOf } from '../../esx-service/adapters/volume-reader.ts';
import { descriptorFile, extentFile, metadataFile } from '../../esx-service/core/volume-files.ts';
import type { VolumeName } from '../../common/names.ts';
import type { Attachment } from '../../esx-service/core/holders.ts';
import { FakeHypervisor } from '../esx-service/fakes/fake-hypervisor.ts';
import { changedHypervisor, type Commands, startCommands, vms } from '../esx-service/support/commands.ts';
import { fileOf, filesOf, mebibyte } from '../esx-service/support/place.ts';
import type { Tree } from './crash-states.ts';
import { type CutTree, inTree } from './moments.ts';
import { Scope } from './scope.ts';
import { datastoreIn, type Scenario } from './service-scenarios.ts';

/** All that can be known of a volume but who holds it; without what a repeated create may make anew. */
interface VolumeFacts {
  readonly identity: string;
  readonly promises: string;
}

/** What can be known of all volumes. */
export type CatalogFacts = ReadonlyMap<string, VolumeFacts>;

interface Start {
  readonly commands: Commands;
  readonly facts: CatalogFacts;
  readonly files: readonly string[];
}

/** The same for each file, which is read whole some thousand times. */
const piece = Buffer.alloc(mebibyte);

type Judge = (isTrue: boolean, sentence: string) => void;

export interface TrialPlan {
  readonly scenario: Scenario;
  /** At each mark. */
  readonly states: readonly CatalogFacts[];
  /** When the same was done again. */
  readonly repeated: CatalogFacts | undefined;
  /** Where the tree may be made. */
  readonly parent: string;
}

/** What was not as it must be, sentence by sentence: none is the aim. */
export interface Verdict {
  readonly broken: readonly string[];
  /**
   * Files that belong to no volume, are kept and reported, and may be in the way of a new volume of their name. To be
   * found only where a folder does not keep its changes in their order.
   */
  readonly strays: readonly string[];
}

export async function tryTree(tree: CutTree, plan: TrialPlan): Promise<Verdict> {
  return await inTree(tree, plan.parent, (folder) => tryStarts(tree, plan, datastoreIn(folder, plan.scenario)));
}

async function tryStarts(tree: CutTree, plan: TrialPlan, datastore: string): Promise<Verdict> {
  const broken: string[] = [];
  const judge: Judge = (isTrue, sentence) => {
    if (!isTrue) broken.push(sentence);
  };
  const allowed = plan.states.slice(tree.stage - 1, tree.stage + 1);
  let strays: readonly string[] = [];
  try {
    const first = await started(datastore, (start) => {
      judge(isOneOf(start.facts, allowed), `volumes neither as before nor as after: ${tell(start.facts)}`);
      strays = judgeFiles(start, judge, !tree.isJournalled);
      return Promise.resolve(start);
    });
    const isRefused = await started(datastore, (second) => {
      judge(isSame(second.facts, first.facts, 'identity'), `a second start sees other volumes: ${tell(second.facts)}`);
      judge(second.files.join() === first.files.join(), `a second start changes files: ${second.files.join()}`);
      return repeatFails(plan.scenario, second.commands, strays, judge);
    });
    await started(datastore, (third) => {
      const last = isRefused ? first.facts : plan.repeated;
      judge(last !== undefined && isSame(third.facts, last, 'promises'), `the same again gave: ${tell(third.facts)}`);
      judgeFiles(third, judge, strays.length > 0);
      return Promise.resolve();
    });
  } catch (error) {
    broken.push(`a start fails: ${messageOf(error)}`);
  }
  return { broken, strays };
}

/** Whether it does, which only a stray may be the reason for, and must then be named. */
async function repeatFails(
  { repeat }: Scenario,
  commands: Commands,
  strays: readonly string[],
  judge: Judge,
): Promise<boolean> {
  try {
    await repeat(commands);
    return false;
  } catch (error) {
    const isNamed = strays.some((file) => messageOf(error).includes(file));
    judge(isNamed, `the same again is refused: ${messageOf(error)}`);
    return true;
  }
}

/** With the disk attached to a VM that survived: nothing of that disk goes, and when it is let go all is as without. */
export async function tryAttached(tree: CutTree, plan: TrialPlan, name: string): Promise<Verdict> {
  return await inTree(tree, plan.parent, async (folder) => {
    const datastore = datastoreIn(folder, plan.scenario);
    const extent = fileOf(datastore, extentFile(name as VolumeName));
    const status = statSync(extent, { throwIfNoEntry: false });
    const broken = status ? await startAttached(datastore, name, extent, diskIdOf(status)) : [];
    const after = await tryStarts(tree, plan, datastore);
    return { broken: [...broken, ...after.broken], strays: after.strays };
  });
}

async function startAttached(
  datastore: string,
  name: string,
  extent: string,
  diskId: string,
): Promise<readonly string[]> {
  const before = hashOf(extent);
  const device = { kind: 'scsi', pciSlot: '192', pciBus: '15.0', unit: 0 } as const;
  const [alpha = { id: '', name: '' }] = vms;
  const broken: string[] = [];
  const look = ({ commands }: Start): Promise<void> => {
    if (!existsSync(extent) || hashOf(extent) !== before) broken.push('the attached disk is gone, or another');
    const volume = commands.record(name)?.volume;
    if (volume && volume.attached?.vm.name !== alpha.name) broken.push(`not seen as attached: ${volume.problem ?? ''}`);
    if (!volume && commands.leftovers.length === 0) broken.push('an attached disk of no volume is not reported');
    return Promise.resolve();
  };
  await started(datastore, look, [{ diskId, device, isReadOnly: false, holder: { vm: alpha } }]);
  return broken;
}

async function started<T>(
  datastore: string,
  work: (start: Start) => Promise<T>,
  attachments: readonly Attachment[] = [],
): Promise<T> {
  await using scope = new Scope();
  const fake = new FakeHypervisor(vms);
  const asked = async (): Promise<readonly Attachment[]> => [...attachments, ...(await fake.attachments())];
  const hypervisor = changedHypervisor(fake, { attachments: asked });
  const commands = await startCommands(scope.asTest, { datastores: { local: datastore }, hypervisor });
  return await work({ commands, facts: factsOf(commands), files: await filesOf(datastore) });
}

/** What a start finds in the tree. */
export async function factsAt(tree: Tree, parent: string, scenario: Scenario): Promise<CatalogFacts> {
  return await inTree(tree, parent, (folder) =>
    started(datastoreIn(folder, scenario), ({ facts }) => Promise.resolve(facts)),
  );
}

function factsOf({ service }: Commands): CatalogFacts {
  return new Map(
    service.catalog.view.records.map((record) => {
      const { volume, createKey, extent, isFormatted, isFreshClone, root, hasMetadata } = record;
      const { allocatedBytes: _allocated, createdAt, uuid, attached: _attached, ...told } = volume;
      const disk = extent && { bytes: hashOf(extent.path), sizeBytes: extent.sizeBytes };
      const promises = JSON.stringify({ told, isFormatted, isFreshClone, root, hasMetadata, disk });
      return [volume.name, { promises, identity: JSON.stringify({ promises, uuid, createKey, createdAt }) }] as const;
    }),
  );
}

/** @returns the files that belong to no volume */
function judgeFiles({ commands, facts, files }: Start, judge: Judge, mayHaveStrays: boolean): readonly string[] {
  const names = [...facts.keys()] as VolumeName[];
  const owned = names.flatMap((name) => [descriptorFile(name), extentFile(name), metadataFile(name)]);
  const missing = owned.filter((file) => !files.includes(file));
  judge(missing.length === 0, `files of volumes are gone: ${missing.join()}`);
  const strays = files.filter((file) => !owned.includes(file));
  judge(mayHaveStrays || strays.length === 0, `files are left: ${strays.join()}`);
  // Of a disk and its metadata, the disk is named.
  const told = commands.leftovers.map((report) => strays.find((file) => report.includes(`/_DEFAULT: ${file} `)));
  judge(!told.includes(undefined), `reported, and not there: ${commands.leftovers.join('; ')}`);
  judge(strays.length === 0 || told.length > 0, `left without a word: ${strays.join()}`);
  return strays;
}

/** Of the whole file, so that one of another length is another. */
function hashOf(path: string): string {
  const hash = createHash('sha1');
  const file = openSync(path, 'r');
  try {
    for (let count = 1; count > 0;) {
      count = readSync(file, piece);
      hash.update(piece.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

function isOneOf(facts: CatalogFacts, states: readonly CatalogFacts[]): boolean {
  return states.some((state) => isSame(facts, state, 'identity'));
}

function isSame(one: CatalogFacts, other: CatalogFacts, what: keyof VolumeFacts): boolean {
  return one.size === other.size && [...one].every(([name, facts]) => facts[what] === other.get(name)?.[what]);
}

function tell(facts: CatalogFacts): string {
  return [...facts].map(([name, { promises }]) => `${name} ${promises}`).join('; ') || 'none';
}
