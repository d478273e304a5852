import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { faultOf } from '../../../common/fault.ts';
import { type FullName, fullName, parseDatastoreName, parseVolumeName } from '../../../common/names.ts';
import { silentLogger } from '../../../common/logging.ts';
import { compacted } from '../../../plugin/adapters/reference-journal.ts';
import { FileReferenceLog } from '../../../plugin/adapters/reference-log.ts';
import type { ReferenceChange } from '../../../plugin/ports/reference-log.ts';
import { RecordingLogger } from '../doors/open-door.ts';

const volumes = ['db', 'ü@b', 'x \u2028y'].map((name) => fullName(parseVolumeName(name), parseDatastoreName('local')));
const [db = '' as FullName] = volumes;
const bootId = 'boot-1';

const change = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    volume: fc.constantFrom(...volumes),
    id: fc.constantFrom('a', 'b', 'ß\n'),
  }),
  fc.record({
    do: fc.constant('remove' as const),
    volume: fc.constantFrom(...volumes),
    id: fc.constantFrom('a', 'b', 'ß\n'),
  }),
  fc.record({ do: fc.constant('clear' as const), volume: fc.constantFrom(...volumes) }),
);
const history = fc.array(change, { maxLength: 40 });

async function folderOf(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reference-log-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

/** What a history means, told in another way than the code under test tells it: how often each reference is held. */
function counts(changes: readonly ReferenceChange[]): ReadonlyMap<string, number> {
  const held = new Map<string, number>();
  for (const step of changes) {
    if (step.do === 'clear') {
      for (const key of [...held.keys()]) if (key.startsWith(`${step.volume}/`)) held.delete(key);
      continue;
    }
    const key = `${step.volume}/${step.id}`;
    const count = (held.get(key) ?? 0) + (step.do === 'add' ? 1 : -1);
    if (count > 0) held.set(key, count);
    else held.delete(key);
  }
  return new Map([...held].toSorted());
}

test('what was appended is read after a restart', async (t) => {
  const folder = await folderOf(t);
  await fc.assert(
    fc.asyncProperty(history, fc.constantFrom(3, 10, 1000), async (changes, compactAtLines) => {
      await rm(join(folder, 'references.log'), { force: true });
      const log = await FileReferenceLog.open({ folder, logger: silentLogger, bootId, compactAtLines });
      for (const step of changes) log.append(step);
      t.deepEqual(counts(log.read()), counts(changes));
      log.close();
      const next = await FileReferenceLog.open({ folder, logger: silentLogger, bootId });
      t.deepEqual(counts(next.read()), counts(changes));
      next.close();
    }),
    { numRuns: 60 },
  );
});

test('compacting keeps the meaning, holds only additions, and comes to rest', (t) => {
  fc.assert(
    fc.property(history, (changes) => {
      const short = compacted(changes);
      t.deepEqual(counts(short), counts(changes));
      t.true(short.every((step) => step.do === 'add'));
      t.deepEqual(compacted(short), short);
    }),
  );
});

test('cut off at any byte, the file gives what was whole before', async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'references.log');
  const changes: ReferenceChange[] = [
    { do: 'add', volume: db, id: 'a' },
    { do: 'add', volume: volumes[1] ?? db, id: 'ß\n' },
    { do: 'remove', volume: db, id: 'a' },
    { do: 'add', volume: db, id: 'b' },
  ];
  const log = await FileReferenceLog.open({ folder, logger: silentLogger, bootId });
  const ends = [(await readFile(path)).length];
  for (const step of changes) {
    log.append(step);
    ends.push((await readFile(path)).length);
  }
  log.close();
  const whole = await readFile(path);
  const logger = new RecordingLogger();
  for (let length = 0; length <= whole.length; length += 1) {
    await writeFile(path, whole.subarray(0, length));
    const next = await FileReferenceLog.open({ folder, logger, bootId });
    const last = ends.findLastIndex((end) => end <= length);
    t.deepEqual(counts(next.read()), counts(changes.slice(0, Math.max(last, 0))), `cut at ${length}`);
    next.close();
  }
  // The file gets its name with its first line in it: a shorter one is damage, which is kept aside and told.
  const [header = 0] = ends;
  t.is(logger.lines.length, header - 1);
  t.is((await readdir(folder)).length, header);
});

test('nothing that is no log is replaced without a word, nor ends the start', async (t) => {
  const folder = await folderOf(t);
  for (const damage of ['\0'.repeat(300), 'no newline', '00000000 \n', `${'x'.repeat(20)}\n00000000 \n`]) {
    await writeFile(join(folder, 'references.log'), damage);
    const logger = new RecordingLogger();
    const log = await FileReferenceLog.open({ folder, logger, bootId });
    t.deepEqual(log.read(), []);
    t.is(logger.lines.length, 1, `for ${damage}`);
    log.close();
  }
});

test('a line changed in any byte is left out, the others are used, and the file is kept aside', async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'references.log');
  const log = await FileReferenceLog.open({ folder, logger: silentLogger, bootId });
  const headerEnd = (await readFile(path)).length;
  log.append({ do: 'add', volume: db, id: 'a' });
  const lineEnd = (await readFile(path)).length;
  log.append({ do: 'add', volume: db, id: 'b' });
  log.close();
  const whole = await readFile(path);
  for (let place = headerEnd; place < lineEnd - 1; place += 1) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(place) ^ 0x01, place);
    if (damaged.readUInt8(place) === 0x0a) continue;
    await writeFile(path, damaged);
    const logger = new RecordingLogger();
    const next = await FileReferenceLog.open({ folder, logger, bootId });
    t.deepEqual(next.read(), [{ do: 'add', volume: db, id: 'b' }]);
    next.close();
    const kept = String(logger.lines[0]?.fields['kept']);
    t.deepEqual(await readFile(kept), damaged);
    await rm(kept);
  }
});

for (const [title, header] of [
  ['whose first line has no version', Buffer.from('a3a6bf43 {}\n')],
  ['that is something else', Buffer.from('#!/bin/sh\necho hello\n')],
  ['of zeros', Buffer.from('\0\0\0\0\n')],
] as const) {
  test(`a file ${title} is kept aside, said so, and a new one begun`, async (t) => {
    const folder = await folderOf(t);
    const path = join(folder, 'references.log');
    await writeFile(path, header);
    const logger = new RecordingLogger();
    const log = await FileReferenceLog.open({ folder, logger, bootId });
    t.deepEqual(log.read(), []);
    log.append({ do: 'add', volume: db, id: 'a' });
    log.close();
    t.is(logger.lines[0]?.level, 'error');
    t.is((await readdir(folder)).length, 2);
    const next = await FileReferenceLog.open({ folder, logger, bootId });
    t.deepEqual(next.read(), [{ do: 'add', volume: db, id: 'a' }]);
    next.close();
  });
}

test('a file of format version 1 is read by this and every later release', async (t) => {
  const folder = await folderOf(t);
  await copyFile(join(import.meta.dirname, 'fixtures/references-1.log'), join(folder, 'references.log'));
  const log = await FileReferenceLog.open({ folder, logger: new RecordingLogger(), bootId });
  t.deepEqual(log.read(), [
    { do: 'add', volume: db, id: 'b' },
    { do: 'add', volume: volumes[1] ?? db, id: 'ß' },
  ]);
  log.close();
});

test('a file of a newer version ends the start with what to do, and stays as it is; of another boot it is void', async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'references.log');
  const header = JSON.stringify({ version: 2, bootId, more: 'x' });
  const newer = `${crc32(header).toString(16).padStart(8, '0')} ${header}\nwhatever it holds\n`;
  await writeFile(path, newer);
  const fault = faultOf(
    await t.throwsAsync(FileReferenceLog.open({ folder, logger: silentLogger, bootId }), { code: 'NotSupported' }),
  );
  t.true(fault.message.startsWith(`${path} has format version 2, written by a newer vmdk-plugin; this one (`));
  t.regex(fault.message, /reads 1: install that release again, or restart this machine/);
  t.is(await readFile(path, 'utf8'), newer);
  t.deepEqual(await readdir(folder), ['references.log']);
  const log = await FileReferenceLog.open({ folder, logger: silentLogger, bootId: 'boot-2' });
  t.deepEqual(log.read(), []);
  log.close();
});

test("another boot's references are void", async (t) => {
  const folder = await folderOf(t);
  const log = await FileReferenceLog.open({ folder, logger: silentLogger, bootId });
  log.append({ do: 'add', volume: db, id: 'a' });
  log.close();
  const logger = new RecordingLogger();
  const next = await FileReferenceLog.open({ folder, logger, bootId: 'boot-2' });
  t.deepEqual(next.read(), []);
  next.close();
  t.deepEqual(logger.lines, []);
});

test("without being told, the kernel's boot counts", async (t) => {
  const folder = await folderOf(t);
  for (const expected of [[], [{ do: 'add', volume: db, id: 'a' }]]) {
    const log = await FileReferenceLog.open({ folder, logger: silentLogger });
    t.deepEqual(log.read() as readonly unknown[], expected);
    if (expected.length === 0) log.append({ do: 'add', volume: db, id: 'a' });
    log.close();
  }
});

test('the file stays small however often a volume is mounted', async (t) => {
  const folder = await folderOf(t);
  const log = await FileReferenceLog.open({ folder, logger: silentLogger, bootId, compactAtLines: 50 });
  log.append({ do: 'add', volume: db, id: 'kept' });
  let largest = 0;
  for (let round = 0; round < 500; round += 1) {
    log.append({ do: 'add', volume: db, id: `id${round}` });
    log.append({ do: 'remove', volume: db, id: `id${round}` });
    largest = Math.max(largest, (await readFile(join(folder, 'references.log'), 'utf8')).split('\n').length);
  }
  t.true(largest <= 52, `${largest} lines`);
  t.deepEqual(log.read(), [{ do: 'add', volume: db, id: 'kept' }]);
  log.close();
});

test('a closed log takes nothing more', async (t) => {
  const log = await FileReferenceLog.open({ folder: await folderOf(t), logger: silentLogger, bootId });
  log.close();
  log.close();
  const failure = t.throws(() => log.append({ do: 'clear', volume: db }));
  t.is(faultOf(failure).code, 'Internal');
});
