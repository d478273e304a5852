import { open, readFile, stat, writeFile } from 'node:fs/promises';
import test from 'ava';
import fc from 'fast-check';
import { allocate, copyBytes, copyDataExtents, type Progress, reflink, writeZeros } from '../../native/file-extents.ts';
import { type Scratch, run, scratch } from './support/scratch.ts';

const mebibyte = 1024 * 1024;
const never = new AbortController().signal;

async function blocksOf(path: string): Promise<number> {
  return (await stat(path)).blocks;
}

interface Run {
  readonly offset: number;
  readonly length: number;
  readonly byte: number;
}

async function writeRuns(path: string, sizeBytes: number, runs: readonly Run[]): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
  for (const { offset, length, byte } of runs) {
    await file.write(Buffer.alloc(Math.min(length, Math.max(sizeBytes - offset, 0)), byte), 0, undefined, offset);
  }
  // Blocks are given out at the write-back: only then can they be compared.
  await file.sync();
}

async function copySynced(source: string, copy: string): Promise<void> {
  await copyDataExtents(source, copy, {}, never);
  await using file = await open(copy, 'r+');
  await file.sync();
}

test('copy: any layout of data and holes keeps its bytes and takes no more room', async (t) => {
  const place = await scratch(t);
  const layout = fc.record({
    sizeBytes: fc.integer({ min: 0, max: 2 * mebibyte }),
    runs: fc.array(
      fc.record({
        offset: fc.integer({ min: 0, max: 2 * mebibyte }),
        length: fc.integer({ min: 1, max: 100_000 }),
        byte: fc.integer({ min: 0, max: 255 }),
      }),
      { maxLength: 8 },
    ),
  });
  const source = place.path('source');
  const copy = place.path('copy');
  await fc.assert(
    fc.asyncProperty(layout, async ({ sizeBytes, runs }) => {
      await writeRuns(source, sizeBytes, runs);
      await copySynced(source, copy);
      t.true((await readFile(source)).equals(await readFile(copy)));
      t.true((await blocksOf(copy)) <= (await blocksOf(source)));
    }),
    { numRuns: 60 },
  );
});

test('copy: between two file systems too', async (t) => {
  const place = await scratch(t);
  const target = await place.directory('target');
  await place.mount({ source: 'tmpfs', target, fstype: 'tmpfs' });
  const source = place.path('source');
  await writeRuns(source, 8 * mebibyte, [{ offset: 3 * mebibyte, length: 100_000, byte: 7 }]);
  await copyDataExtents(source, `${target}/copy`, {}, never);
  t.true((await readFile(source)).equals(await readFile(`${target}/copy`)));
  t.true((await blocksOf(`${target}/copy`)) < 1000);
});

test('copy: what was in the destination before is gone', async (t) => {
  const place = await scratch(t);
  const source = await place.sparseFile('source', 1000);
  await writeFile(place.path('copy'), 'much longer '.repeat(1000));
  await copyDataExtents(source, place.path('copy'), {}, never);
  t.deepEqual(await readFile(place.path('copy')), Buffer.alloc(1000));
});

/** 48 MiB of data: three pieces. */
async function large(place: Scratch): Promise<string> {
  const source = place.path('source');
  await writeFile(source, Buffer.alloc(48 * mebibyte, 'data'));
  return source;
}

test('copy: progress goes up to the whole', async (t) => {
  const place = await scratch(t);
  const seen: Progress[] = [];
  await copyDataExtents(await large(place), place.path('copy'), { onProgress: (now) => seen.push(now) }, never);
  t.true(seen.length >= 3);
  t.deepEqual(seen.at(-1), { doneBytes: 48 * mebibyte, totalBytes: 48 * mebibyte });
  t.deepEqual(
    seen,
    seen.toSorted((one, other) => one.doneBytes - other.doneBytes),
  );
});

test('copy: it stops between two pieces when it is aborted', async (t) => {
  const place = await scratch(t);
  const controller = new AbortController();
  const reason = new Error('enough');
  let pieces = 0;
  const onProgress = (): void => {
    pieces++;
    controller.abort(reason);
  };
  const work = copyDataExtents(await large(place), place.path('copy'), { onProgress }, controller.signal);
  const error = await t.throwsAsync(work);
  t.is(error, reason);
  t.is(pieces, 1);
});

test('copy: a failure names both files', async (t) => {
  const place = await scratch(t);
  const copying = copyDataExtents(place.path('missing'), place.path('copy'), {}, never);
  const error = await t.throwsAsync(copying);
  t.like(error, { code: 'ENOENT', path: place.path('missing'), dest: place.path('copy') });
});

test('reflink: on xfs the copy shares its blocks and is independent', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', 320 * mebibyte) });
  await run('mkfs.xfs', '-q', '-m', 'reflink=1', loop.path);
  const target = await place.directory('target');
  await place.mount({ source: loop.path, target, fstype: 'xfs' });
  await writeFile(`${target}/source`, Buffer.alloc(mebibyte, 'a'), { flush: true });
  const before = await run('stat', '-f', '-c', '%f', target);
  t.true(await reflink(`${target}/source`, `${target}/copy`));
  t.is(await run('stat', '-f', '-c', '%f', target), before);
  await writeFile(`${target}/copy`, 'b', { flag: 'r+' });
  t.is((await readFile(`${target}/source`)).toString('utf8', 0, 2), 'aa');
  t.is((await readFile(`${target}/copy`)).toString('utf8', 0, 2), 'ba');
});

test('reflink: where it cannot be done it says so, and a copy can follow', async (t) => {
  const place = await scratch(t);
  const target = await place.directory('target');
  await place.mount({ source: 'tmpfs', target, fstype: 'tmpfs' });
  await writeFile(place.path('source'), 'text');
  t.false(await reflink(place.path('source'), `${target}/copy`));
  await copyDataExtents(place.path('source'), `${target}/copy`, {}, never);
  t.is(await readFile(`${target}/copy`, 'utf8'), 'text');
  await t.throwsAsync(reflink(place.path('missing'), place.path('copy')), { code: 'ENOENT' });
});

test('allocate: the blocks are there, and too many are refused', async (t) => {
  const place = await scratch(t);
  const file = await place.sparseFile('file', 0);
  await allocate(file, 4 * mebibyte);
  t.is((await stat(file)).size, 4 * mebibyte);
  t.true((await blocksOf(file)) >= (4 * mebibyte) / 512);
  const target = await place.directory('target');
  await place.mount({ source: 'tmpfs', target, fstype: 'tmpfs', data: 'size=1m' });
  await writeFile(`${target}/file`, '');
  await t.throwsAsync(allocate(`${target}/file`, 4 * mebibyte), { code: 'ENOSPC' });
});

test('zeros: they are written for real, over what was there', async (t) => {
  const place = await scratch(t);
  const file = place.path('file');
  await writeRuns(file, 20 * mebibyte, [{ offset: 17 * mebibyte, length: 1000, byte: 9 }]);
  const seen: Progress[] = [];
  await writeZeros(file, 20 * mebibyte, { onProgress: (now) => seen.push(now) }, never);
  t.true((await readFile(file)).equals(Buffer.alloc(20 * mebibyte)));
  await run('sync', file);
  t.true((await blocksOf(file)) >= (20 * mebibyte) / 512);
  t.deepEqual(
    seen.map(({ doneBytes }) => doneBytes),
    [16 * mebibyte, 20 * mebibyte],
  );
});

test('bulk: what is copied or zeroed takes no room in the page cache from those who read', async (t) => {
  const place = await scratch(t);
  const cachedPages = (path: string): Promise<string> => run('fincore', '--noheadings', '--output', 'PAGES', path);
  const source = place.path('source');
  await writeFile(source, Buffer.alloc(20 * mebibyte, 'data'));
  await copyDataExtents(source, place.path('thin'), {}, never);
  t.is((await cachedPages(place.path('thin'))).trim(), '0');
  await writeFile(place.path('thick'), '');
  await writeZeros(place.path('thick'), 20 * mebibyte, {}, never);
  t.is((await cachedPages(place.path('thick'))).trim(), '0');
  await copyBytes(source, place.path('thick'), 20 * mebibyte, { writesZeros: false }, never);
  t.is((await cachedPages(place.path('thick'))).trim(), '0');
});

test('zeros: writing stops between two pieces when it is aborted', async (t) => {
  const place = await scratch(t);
  const file = await place.sparseFile('file', 0);
  const controller = new AbortController();
  const onProgress = (): void => controller.abort(new Error('enough'));
  await t.throwsAsync(writeZeros(file, 64 * mebibyte, { onProgress }, controller.signal), { message: 'enough' });
  t.is((await stat(file)).size, 16 * mebibyte);
});
