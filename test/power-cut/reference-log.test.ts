/**
 * The plugin's record of references, cut off from its power at every moment. The record is of one boot, and a power cut
 * ends it; so after one, nothing of it is believed. What it must do in any case: start, keep aside what it cannot read and
 * say so, and go on recording. When the plugin alone is killed, all that was answered is there.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { FileReferenceLog } from '../../plugin/adapters/reference-log.ts';
import { countOf } from '../../plugin/core/references.ts';
import type { ReferenceChange } from '../../plugin/ports/reference-log.ts';
import { replay } from '../../plugin/service/recovery.ts';
import { mebibyte, place } from '../esx-service/support/place.ts';
import { RecordingLogger } from '../plugin/doors/open-door.ts';
import { compactAtLines, journalChanges } from './journal-changes.ts';
import { assertFollowed, type CutTree, describeTree, inTree, type Moments, momentsOf } from './moments.ts';
import { recordOperations } from './recording.ts';

const limits = { contentsPerFile: 60, treesPerMoment: 80 };
const bootId = 'boot-1';
const logFile = 'references.log';
const [firstChange] = journalChanges;

interface Recorded {
  readonly moments: Moments;
  readonly parent: string;
}

async function recorded(t: ExecutionContext): Promise<Recorded> {
  const at = await place(t);
  const disk = await at.fileSystem('tmpfs', 64 * mebibyte);
  const folder = join(disk, 'recorded');
  await mkdir(folder);
  const operations = await recordOperations({
    workFolder: at.folder,
    recordedFolder: folder,
    script: fileURLToPath(import.meta.resolve('./journal-script.ts')),
    args: [join(folder, 'state'), bootId],
  });
  const moments = momentsOf(operations, limits, 'reference log');
  assertFollowed(t, moments, folder);
  return { moments, parent: join(disk, 'trees') };
}

interface Opened {
  readonly read: readonly ReferenceChange[];
  readonly files: readonly string[];
  readonly logger: RecordingLogger;
}

/** A start of the plugin's log, and the change that follows it. */
async function opened(folder: string, boot: string, change?: ReferenceChange): Promise<Opened> {
  const logger = new RecordingLogger();
  const log = await FileReferenceLog.open({ folder, bootId: boot, logger, compactAtLines });
  const read = log.read();
  if (change) log.append(change);
  log.close();
  return { read, files: (await readdir(folder)).toSorted(), logger };
}

function held(changes: readonly ReferenceChange[]): unknown {
  return [...replay(changes)].filter(([, references]) => countOf(references) > 0).toSorted();
}

/** What a killed plugin had recorded: as of one mark, or of the next. */
function meanings({ stage }: CutTree): readonly unknown[] {
  const answered = Math.max(0, stage - 2);
  const upTo = (count: number): unknown => held(journalChanges.slice(0, count));
  return [upTo(answered), upTo(answered + 1)];
}

test('reference log: after a kill of the plugin at any moment, what was answered is there', async (t) => {
  const { moments, parent } = await recorded(t);
  const exact = moments.trees.filter(({ isExact }) => isExact);
  for (const tree of exact) {
    await inTree(tree, parent, async (folder) => {
      const first = await opened(join(folder, 'state'), bootId);
      const found = held(first.read);
      const isTrue = meanings(tree).some((meant) => JSON.stringify(meant) === JSON.stringify(found));
      t.true(isTrue, `${JSON.stringify(found)} after\n${describeTree(tree)}`);
      t.deepEqual(first.logger.lines, []);
      t.deepEqual(first.files, [logFile]);
    });
  }
  t.log(`${moments.operationCount} operations, ${exact.length} trees`);
});

test('reference log: after a power cut at any moment it starts, keeps aside what it cannot read, and goes on', async (t) => {
  const { moments, parent } = await recorded(t);
  let keptAside = 0;
  for (const tree of moments.trees) {
    await inTree(tree, parent, async (folder) => {
      const state = join(folder, 'state');
      const before = tree.entries.find(({ path }) => path === `state/${logFile}`)?.content?.bytes;
      const first = await opened(state, 'boot-2', firstChange);
      t.deepEqual(first.read, [], `after operation ${tree.operations}`);
      const kept = first.files.filter((file) => file.includes('.damaged-'));
      t.deepEqual(first.files, [logFile, ...kept]);
      t.is(first.logger.lines.length, kept.length);
      for (const file of kept) t.deepEqual(await readFile(join(state, file)), before);
      keptAside += kept.length;
      const second = await opened(state, 'boot-2');
      t.deepEqual(second.read, firstChange ? [firstChange] : []);
      t.deepEqual(second.files, first.files);
      t.deepEqual(second.logger.lines, []);
    });
  }
  t.log(`${moments.operationCount} operations, ${moments.trees.length} trees, in ${keptAside} the log was kept aside`);
});

test('reference log: nothing that is no log is replaced without a word, whatever the power cut left', async (t) => {
  const { moments, parent } = await recorded(t);
  for (const tree of moments.trees) {
    const before = tree.entries.find(({ path }) => path === `state/${logFile}`)?.content?.bytes;
    const isLog = before === undefined || before.length === 0 || /^[0-9a-f]{8} .*\n/.test(before.toString('utf8'));
    if (isLog) continue;
    await inTree(tree, parent, async (folder) => {
      const { files, logger } = await opened(join(folder, 'state'), 'boot-2');
      t.is(logger.lines.length, 1, `${JSON.stringify(before.toString('utf8'))} was replaced\n${describeTree(tree)}`);
      t.is(files.length, 2);
    });
  }
});

test('reference log: a damaged line that its checksum happens to fit is damage, not the end of the start', async (t) => {
  const folder = (await place(t)).folder;
  const log = await FileReferenceLog.open({ folder, bootId, logger: new RecordingLogger() });
  log.close();
  const whole = await readFile(join(folder, logFile), 'utf8');
  // The checksum of nothing is zero.
  await writeFile(join(folder, logFile), `${whole}00000000 \n`);
  const { files, logger } = await opened(folder, bootId);
  t.is(logger.lines.length, 1);
  t.is(files.length, 2);
});
