import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import fc from 'fast-check';
import { Fault, faultOf } from '../../../common/fault.ts';
import { fstypes } from '../../../common/volume-options.ts';
import { withNewUuid } from '../../../plugin/adapters/btrfs-identity.ts';
import { crc32c } from '../../../plugin/adapters/crc32c.ts';
import { fitLabel, mkfsArguments } from '../../../plugin/adapters/mkfs.ts';
import { FolderMountPoints } from '../../../plugin/adapters/mount-points.ts';
import { factsOf, superblockBytes } from '../../../plugin/adapters/superblocks.ts';
import { Tools } from '../../../plugin/adapters/tools.ts';
import { run, scratch } from '../../native/support/scratch.ts';

test('a fitted label is the longest run of whole characters that fits', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 0, max: 20 }), (label, maxBytes) => {
      const fitted = fitLabel(label, maxBytes);
      t.true(label.startsWith(fitted) && fitted.isWellFormed());
      t.true(Buffer.byteLength(fitted) <= maxBytes);
      const [next = ''] = label.slice(fitted.length);
      if (next !== '') t.true(Buffer.byteLength(fitted + next) > maxBytes);
    }),
  );
});

test('mkfs is never told to overwrite', (t) => {
  for (const fstype of fstypes) {
    const args = mkfsArguments(fstype, '-f', '/dev/x');
    t.deepEqual(args.slice(-3), ['-L', '-f', '/dev/x']);
    t.false(args.slice(0, -3).some((arg) => /^-[fF]/.test(arg)));
    t.false(mkfsArguments(fstype, '', '/dev/x').includes('-L'));
  }
});

test('crc32c is the standard one', (t) => {
  t.is(crc32c(Buffer.from('123456789')), 0xe3069283);
});

test('a btrfs that our mkfs never makes is refused', (t) => {
  const block = Buffer.alloc(4096);
  block.writeBigUInt64LE(2n, 0x88);
  const failure = t.throws(() => withNewUuid(block, Buffer.alloc(16)));
  t.is(faultOf(failure).code, 'NotSupported');
});

test('no superblock is found where there is none', (t) => {
  for (const fstype of fstypes) {
    t.is(factsOf(fstype, Buffer.alloc(superblockBytes)), undefined);
    t.is(factsOf(fstype, Buffer.alloc(100)), undefined);
  }
});

test('a mount point is made with its parents, may be there, and is removed', async (t) => {
  const place = await scratch(t);
  const points = new FolderMountPoints();
  const path = place.path('a/b/c');
  await points.make(path);
  await points.make(path);
  await points.remove(path);
  await points.remove(path);
  t.deepEqual(await readdir(place.path('a/b')), []);
});

test('a mount point with content is neither used nor removed', async (t) => {
  const place = await scratch(t);
  const points = new FolderMountPoints();
  await mkdir(place.path('point'));
  await writeFile(place.path('point/file'), 'data');
  for (const step of [points.make(place.path('point')), points.remove(place.path('point'))]) {
    const failure = await t.throwsAsync(step);
    t.is(faultOf(failure).code, 'VolumeInUse');
  }
  t.is(await readFile(place.path('point/file'), 'utf8'), 'data');
});

test('a file in place of a mount point is neither used nor removed', async (t) => {
  const place = await scratch(t);
  await writeFile(place.path('point'), 'data');
  for (const path of [place.path('point'), place.path('point/below')]) {
    const failure = await t.throwsAsync(new FolderMountPoints().make(path));
    t.is(faultOf(failure).code, 'VolumeInUse');
  }
});

test('a mount point on which something is mounted is not removed', async (t) => {
  const place = await scratch(t);
  const path = await place.directory('point');
  await place.mount({ source: 'tmpfs', target: path, fstype: 'tmpfs' });
  const failure = await t.throwsAsync(new FolderMountPoints().remove(path));
  t.is(faultOf(failure).code, 'VolumeInUse');
});

test('a tool gets its arguments as they are', async (t) => {
  const place = await scratch(t);
  await writeFile(place.path('tool'), `#!/bin/sh\nprintf '%s\\n' "$@" > ${place.path('out')}\n`, { mode: 0o755 });
  const args = ['a b', '$HOME', ';', '', '*', '"'];
  t.is(await new Tools(place.folder).run('tool', args, { purpose: 'trying' }, new AbortController().signal), 0);
  t.is(await readFile(place.path('out'), 'utf8'), `${args.join('\n')}\n`);
});

test('a failed tool is told with its exit code and its last words', async (t) => {
  const place = await scratch(t);
  await writeFile(place.path('tool'), '#!/bin/sh\necho first >&2\necho "  the last  " >&2\nexit 7\n', { mode: 0o755 });
  const running = new Tools(place.folder).run('tool', [], { purpose: 'trying' }, new AbortController().signal);
  const fault = faultOf(await t.throwsAsync(running));
  t.is(fault.message, 'trying: tool failed with exit code 7: the last');
});

test('a tool that is given up has ended when its run rejects', async (t) => {
  const place = await scratch(t);
  const fifo = place.path('fifo');
  await writeFile(place.path('tool'), `#!/bin/sh\necho $$ > ${fifo}\nexec sleep 1000\n`, { mode: 0o755 });
  const giveUp = new AbortController();
  await run('mkfifo', fifo);
  const running = new Tools(place.folder).run('tool', [], { purpose: 'trying' }, giveUp.signal);
  const pid = Number(await readFile(fifo, 'utf8'));
  giveUp.abort(new Fault('Cancelled', 'enough'));
  const failure = await t.throwsAsync(running);
  t.is(faultOf(failure).code, 'Cancelled');
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('a file that cannot be executed is no tool', async (t) => {
  const place = await scratch(t);
  await writeFile(place.path('tool'), '', { mode: 0o644 });
  t.is(await new Tools(place.folder).find('tool'), undefined);
  t.is(await new Tools(place.folder).find('mkfs.ext4'), '/usr/sbin/mkfs.ext4');
});
