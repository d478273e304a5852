import { readdirSync } from 'node:fs';
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import test from 'ava';
import { isHeld } from '../../native/exclusive.ts';
import { attachLoop, detachLoop, listLoops, type LoopDevice } from '../../native/loop-devices.ts';
import { codeOf } from '../../native/system-error.ts';
import { unmount } from '../../native/mounts.ts';
import { run, scratch } from './support/scratch.ts';

const mebibyte = 1024 * 1024;
const diskBytes = 16 * mebibyte;

async function listed(path: string): Promise<LoopDevice | undefined> {
  return (await listLoops()).find((loop) => loop.path === path);
}

test('loop: an attached device is listed with all its settings', async (t) => {
  const place = await scratch(t);
  const backingPath = await place.sparseFile('disk with blank', diskBytes);
  const loop = await place.attach({
    backingPath,
    isReadOnly: true,
    offsetBytes: 4096,
    sizeLimitBytes: 8192,
    label: 'held by vm é',
  });
  const { ino, dev } = await stat(backingPath);
  t.deepEqual(await listed(loop.path), {
    ...loop,
    backingPath,
    backingDevice: dev,
    backingInode: ino,
    offsetBytes: 4096,
    sizeLimitBytes: 8192,
    isReadOnly: true,
    isAutoClear: false,
    label: 'held by vm é',
  });
  t.is(Number(await readFile(`/sys/block/loop${loop.number}/size`, 'utf8')), 8192 / 512);
});

test('loop: what is written to the device is in the file, at its offset', async (t) => {
  const place = await scratch(t);
  const backingPath = await place.sparseFile('disk', diskBytes);
  const loop = await place.attach({ backingPath, offsetBytes: 4096 });
  await writeFile(loop.path, 'text', { flag: 'r+', flush: true });
  await detachLoop(loop.path, loop.diskSequence);
  t.is((await readFile(backingPath)).toString('utf8', 4096, 4100), 'text');
});

test('loop: a read-only device refuses to be written', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes), isReadOnly: true });
  const error = await t.throwsAsync(writeFile(loop.path, 'text', { flag: 'r+' }));
  t.regex(codeOf(error) ?? '', /^E(PERM|ACCES|ROFS)$/);
});

test('loop: a detached device is not listed, and detaching it again says so', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes) });
  await detachLoop(loop.path, loop.diskSequence);
  t.not((await listed(loop.path))?.diskSequence, loop.diskSequence);
  await t.throwsAsync(detachLoop(loop.path, loop.diskSequence), { code: 'ENXIO' });
});

test('loop: a late detach does not take the device from its next user', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes) });
  await t.throwsAsync(detachLoop(loop.path, loop.diskSequence - 1), { code: 'ENXIO' });
  t.is((await listed(loop.path))?.diskSequence, loop.diskSequence);
});

test('loop: a device with a mounted file system is not detached', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes) });
  await run('mkfs.ext4', '-q', loop.path);
  const target = await place.directory('target');
  await place.mount({ source: loop.path, target, fstype: 'ext4' });
  const error = await t.throwsAsync(detachLoop(loop.path, loop.diskSequence), { code: 'EBUSY' });
  t.like(error, { path: loop.path });
  await writeFile(`${target}/file`, 'still there');
  await unmount(target);
  await detachLoop(loop.path, loop.diskSequence);
  t.not((await listed(loop.path))?.diskSequence, loop.diskSequence);
});

// Not beside this file's other tests, whose mounts the namespace would copy.
test.serial('loop: a mount that only another namespace has keeps its device', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes) });
  await run('mkfs.ext4', '-q', loop.path);
  const target = await place.directory('target');
  const holder = await place.namespace(`mount ${loop.path} ${target}`);
  t.true(await isHeld(loop.path));
  await t.throwsAsync(detachLoop(loop.path, loop.diskSequence), { code: 'EBUSY' });
  await holder.end();
  await detachLoop(loop.path, loop.diskSequence);
  t.not((await listed(loop.path))?.diskSequence, loop.diskSequence);
});

test('loop: detaching waits for a program that has the device open', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes) });
  const opener = await open(loop.path);
  let isDetached = false;
  const detached = detachLoop(loop.path, loop.diskSequence).then(() => (isDetached = true));
  while ((await listed(loop.path))?.isAutoClear !== true) t.false(isDetached);
  t.false(isDetached);
  await opener.close();
  await detached;
  t.not((await listed(loop.path))?.diskSequence, loop.diskSequence);
});

test.serial(
  'loop: 32 at once all succeed, each with its own device and sequence, and are listed a few at a time',
  async (t) => {
    const place = await scratch(t);
    const files = await Promise.all(Array.from({ length: 32 }, (_, index) => place.sparseFile(`${index}`, diskBytes)));
    const loops = await Promise.all(files.map((backingPath) => place.attach({ backingPath })));
    t.is(new Set(loops.map((loop) => loop.path)).size, 32);
    t.is(new Set(loops.map((loop) => loop.diskSequence)).size, 32);
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const before = descriptors();
    let most = before;
    const sampling = setInterval(() => (most = Math.max(most, descriptors())), 1);
    const all = await listLoops();
    clearInterval(sampling);
    t.true(most > before && most - before < 20, `${most - before} descriptors at once`);
    for (const [index, loop] of loops.entries()) {
      t.is(all.find(({ path }) => path === loop.path)?.backingPath, files[index]);
    }
    await Promise.all(loops.map((loop) => detachLoop(loop.path, loop.diskSequence)));
  },
);

test('loop: a device whose file was deleted is listed without a path', async (t) => {
  const place = await scratch(t);
  const backingPath = await place.sparseFile('disk', diskBytes);
  const loop = await place.attach({ backingPath, label: 'kept' });
  await rm(backingPath);
  const entry = await listed(loop.path);
  t.is(entry?.label, 'kept');
  t.is(entry?.backingPath, undefined);
});

test('loop: what cannot be attached is told by name, and harms no later one', async (t) => {
  const place = await scratch(t);
  await t.throwsAsync(attachLoop({ backingPath: place.path('missing'), isReadOnly: false }), { code: 'ENOENT' });
  await t.throwsAsync(attachLoop({ backingPath: place.folder, isReadOnly: false }), { code: 'EISDIR' });
  await t.throwsAsync(attachLoop({ backingPath: 'a\0b', isReadOnly: false }), { code: 'ERR_INVALID_ARG_VALUE' });
  const backingPath = await place.sparseFile('disk', diskBytes);
  await t.throwsAsync(attachLoop({ backingPath, isReadOnly: false, label: 'é'.repeat(32) }), {
    instanceOf: RangeError,
  });
  const loop = await place.attach({ backingPath, label: 'l'.repeat(63) });
  t.is((await listed(loop.path))?.label, 'l'.repeat(63));
});

test('held: a device that is merely open is not held', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes) });
  await using opener = await open(loop.path);
  t.true(opener.fd >= 0);
  t.false(await isHeld(loop.path));
});

test('held: a device that is gone is not held; that the question cannot be asked is told by the path', async (t) => {
  const place = await scratch(t);
  t.false(await isHeld('/dev/no-such-device'));
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', diskBytes) });
  await t.throwsAsync(isHeld(place.path(basename(loop.path))), { code: 'ENOENT' }, 'only its node is missing');
  const file = await place.sparseFile('no-device', diskBytes);
  await t.throwsAsync(isHeld(`${file}/disk`), { code: 'ENOTDIR', message: /no-device\/disk/ });
});
