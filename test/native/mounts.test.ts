import { readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import { isHeld } from '../../native/exclusive.ts';
import type { MountEntry } from '../../native/mountinfo.ts';
import { isMountFlag, mount, readMountTable, unmount } from '../../native/mounts.ts';
import { run, scratch } from './support/scratch.ts';

const mebibyte = 1024 * 1024;
/** The smallest disks that the makers accept, with room to spare. */
const fileSystems = [
  { fstype: 'ext4', sizeBytes: 16 * mebibyte, make: ['mkfs.ext4', '-q'] },
  { fstype: 'xfs', sizeBytes: 320 * mebibyte, make: ['mkfs.xfs', '-q'] },
  { fstype: 'btrfs', sizeBytes: 128 * mebibyte, make: ['mkfs.btrfs', '-q'] },
] as const;

async function entryOf(target: string): Promise<MountEntry | undefined> {
  return (await readMountTable()).findLast((entry) => entry.target === target);
}

for (const { fstype, sizeBytes, make } of fileSystems) {
  test(`mount: ${fstype} is writable, then read-only, and holds its device`, async (t) => {
    const place = await scratch(t);
    const loop = await place.attach({ backingPath: await place.sparseFile('disk', sizeBytes) });
    const [maker, ...options] = make;
    await run(maker, ...options, loop.path);
    const target = await place.directory('target');

    await place.mount({ source: loop.path, target, fstype, flags: ['noatime', 'nosuid'] });
    await writeFile(`${target}/file`, 'text');
    const entry = await entryOf(target);
    t.like(entry, { source: loop.path, fstype, isReadOnly: false });
    t.true(['noatime', 'nosuid'].every((option) => entry?.mountOptions.includes(option)));
    t.true(await isHeld(loop.path));
    await unmount(target);
    t.false(await isHeld(loop.path));

    await place.mount({ source: loop.path, target, fstype, flags: ['ro'] });
    t.true((await entryOf(target))?.isReadOnly);
    t.is(await readFile(`${target}/file`, 'utf8'), 'text');
    await t.throwsAsync(writeFile(`${target}/other`, ''), { code: 'EROFS' });
    await unmount(target);
    t.is(await entryOf(target), undefined);
  });
}

test('mount: any name of a mount point is read back from the table', async (t) => {
  const place = await scratch(t);
  for (const name of ['two words', 'tab\there', 'new\nline', 'back\\slash', '\\040', 'schön 雪 🙂', '-', '#']) {
    const target = await place.directory(name);
    await place.mount({ source: `source of ${name}`, target, fstype: 'tmpfs' });
    t.is((await entryOf(target))?.source, `source of ${name}`);
  }
});

test('mount: the options of the file system are passed on', async (t) => {
  const place = await scratch(t);
  const target = await place.directory('target');
  await place.mount({ source: 'tmpfs', target, fstype: 'tmpfs', data: 'size=64k,mode=700' });
  t.true((await entryOf(target))?.superOptions.includes('size=64k'));
});

test('mount: a read-only bind mount is read-only, and its source is not', async (t) => {
  const place = await scratch(t);
  const source = await place.directory('source');
  const target = await place.directory('target');
  await place.mount({ source, target, fstype: '', flags: ['bind', 'ro', 'nosuid'] });
  await t.throwsAsync(writeFile(`${target}/file`, ''), { code: 'EROFS' });
  await writeFile(`${source}/file`, '');
  t.true((await entryOf(target))?.mountOptions.includes('nosuid'));
});

test('mount: a failure reads like one of the fs module, and mounts nothing', async (t) => {
  const place = await scratch(t);
  const target = await place.directory('target');
  const source = await place.sparseFile('no device', mebibyte);
  const error = await t.throwsAsync(mount({ source, target, fstype: 'ext4' }), { code: 'ENOTBLK' });
  t.like(error, { errno: -15, syscall: 'mount', path: source, dest: target });
  await t.throwsAsync(mount({ source, target, fstype: 'no-such-fs' }), { code: 'ENODEV' });
  await t.throwsAsync(mount({ source: 'a\0b', target, fstype: 'tmpfs' }), { code: 'ERR_INVALID_ARG_VALUE' });
  t.is(await entryOf(target), undefined);
});

test('mount: an empty disk is told by name, not as success', async (t) => {
  const place = await scratch(t);
  const loop = await place.attach({ backingPath: await place.sparseFile('disk', 16 * mebibyte) });
  const target = await place.directory('target');
  await t.throwsAsync(mount({ source: loop.path, target, fstype: 'ext4' }), { code: 'EINVAL' });
  t.false(await isHeld(loop.path));
});

test('unmount: a file system in use stays, unless it is taken out lazily', async (t) => {
  const place = await scratch(t);
  const target = await place.directory('target');
  await place.mount({ source: 'tmpfs', target, fstype: 'tmpfs' });
  await place.mount({ source: 'tmpfs', target: await place.directory('target/inner'), fstype: 'tmpfs' });
  const error = await t.throwsAsync(unmount(target), { code: 'EBUSY' });
  t.like(error, { syscall: 'umount', path: target });
  await unmount(target, { lazy: true });
  t.is(await entryOf(target), undefined);
  await t.throwsAsync(unmount(target), { code: 'EINVAL' });
});

test('mount table: another process has its own', async (t) => {
  const entries = await readMountTable('/proc/1/mountinfo');
  t.true(entries.some((entry) => entry.target === '/'));
  await t.throwsAsync(readMountTable('/proc/0/mountinfo'), { code: 'ENOENT' });
});

test('mount flags: only known names are flags', (t) => {
  t.true(isMountFlag('noatime'));
  t.false(isMountFlag('toString'));
});
