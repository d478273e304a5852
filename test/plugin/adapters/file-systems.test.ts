import { chmod, chown, mkdir, open, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Fault, faultOf } from '../../../common/fault.ts';
import { type MountOption, safeMountOptions } from '../../../common/volume-options.ts';
import { probeSignature } from '../../../native/signature.ts';
import { allTypes, bench, entryAt, sizeBytes, textIn } from './volume-disk.ts';

const mib = 1024 * 1024;

test('makeable lists the types whose mkfs is there', async (t) => {
  const { fileSystems, scratch } = await bench(t);
  t.deepEqual(await fileSystems.makeable(), allTypes);
  t.truthy(scratch.folder);
});

for (const fstype of allTypes) {
  test(`${fstype}: an empty disk bears no signature, is made, and then bears its own`, async (t) => {
    const { fileSystems, disk, signal } = await bench(t);
    const device = await disk('disk', sizeBytes[fstype]);
    t.is(await fileSystems.signature(device, signal), undefined);
    await fileSystems.make(device, fstype, 'db', signal);
    t.is(await fileSystems.signature(device, signal), fstype);
  });

  test(`${fstype}: what is written is there after unmount and mount`, async (t) => {
    const { fileSystems, disk, mounted, signal } = await bench(t);
    const device = await disk('disk', sizeBytes[fstype]);
    await fileSystems.make(device, fstype, 'db', signal);
    const first = await mounted(device, 'first', fstype);
    t.true(await fileSystems.isHeld(device));
    await writeFile(join(first, 'file'), 'kept');
    await fileSystems.unmount(first);
    t.false(await fileSystems.isHeld(device));
    t.is(await textIn(await mounted(device, 'second', fstype), 'file'), 'kept');
  });

  test(`${fstype}: a long label is cut to whole characters and the rest is kept`, async (t) => {
    const { fileSystems, disk, signal } = await bench(t);
    const device = await disk('disk', sizeBytes[fstype]);
    const label = `-ü${'ß'.repeat(200)}`;
    await fileSystems.make(device, fstype, label, signal);
    const kept = (await probeSignature(device))?.label ?? '';
    t.true(label.startsWith(kept));
    t.true(kept.length >= 6);
  });

  test(`${fstype}: mount options are in force`, async (t) => {
    const { fileSystems, disk, mounted, signal } = await bench(t);
    const device = await disk('disk', sizeBytes[fstype]);
    await fileSystems.make(device, fstype, 'db', signal);
    for (const [index, option] of safeMountOptions.entries()) {
      const target = await mounted(device, `at${index}`, fstype, { options: [option] });
      const entry = await entryAt(target);
      const shown = [...(entry?.mountOptions ?? []), ...(entry?.superOptions ?? [])];
      t.true(isInForce(option, shown), `${option}: ${shown.join()}`);
      await fileSystems.unmount(target);
    }
  });

  test(`${fstype}: a read-only mount can be read and not written`, async (t) => {
    const { fileSystems, disk, mounted, attached, scratch, signal } = await bench(t);
    const device = await disk('disk', sizeBytes[fstype]);
    await fileSystems.make(device, fstype, 'db', signal);
    const writable = await mounted(device, 'writable', fstype);
    await writeFile(join(writable, 'file'), 'kept');
    t.true(await fileSystems.isMountPoint(writable));
    await fileSystems.unmount(writable);
    t.false(await fileSystems.isMountPoint(writable));
    const readOnly = await attached('disk', true);
    const target = await mounted(readOnly, 'readonly', fstype, { isReadOnly: true });
    t.is(await textIn(target, 'file'), 'kept');
    await t.throwsAsync(writeFile(join(target, 'other'), ''), { code: 'EROFS' });
    t.like((await fileSystems.mountsBelow(scratch.folder))[0], { target, devicePath: readOnly, isReadOnly: true });
  });

  test(`${fstype}: a read-only disk mounted for writing is an error that says so`, async (t) => {
    const { fileSystems, disk, mounted, attached, signal } = await bench(t);
    await fileSystems.make(await disk('disk', sizeBytes[fstype]), fstype, 'db', signal);
    const fault = faultOf(await t.throwsAsync(mounted(await attached('disk', true), 'm', fstype)));
    t.is(fault.code, 'NotSupported');
    t.regex(fault.message, /read-only/);
  });
}

for (const fstype of ['ext4', 'ext3', 'xfs', 'btrfs'] as const) {
  test(`${fstype}: a read-only disk whose last changes only its journal holds is refused, not served without them`, async (t) => {
    const { fileSystems, disk, mounted, attached, copied, signal } = await bench(t);
    const device = await disk('disk', sizeBytes[fstype]);
    await fileSystems.make(device, fstype, 'db', signal);
    const target = await mounted(device, 'live', fstype);
    const file = await open(join(target, 'file'), 'w');
    await file.writeFile('only in the journal');
    await file.sync();
    await file.close();
    await copied('disk', 'copy');
    await fileSystems.unmount(target);
    const fault = faultOf(
      await t.throwsAsync(mounted(await attached('copy', true), 'copied', fstype, { isReadOnly: true })),
    );
    t.is(fault.code, 'DamagedVolume');
    t.regex(fault.message, /journal cannot be replayed/);
    const repaired = await mounted(await attached('copy'), 'again', fstype, { isReadOnly: true });
    t.is(await textIn(repaired, 'file'), 'only in the journal', 'the same copy, once it may be replayed');
  });
}

test('what is no file system is named by its own signature', async (t) => {
  const { fileSystems, disk, signal } = await bench(t);
  for (const [name, offset, magic] of [
    ['swap', 4086, 'SWAPSPACE2'],
    ['LVM2_member', 512, 'LABELONE'],
  ] as const) {
    const device = await disk(name, 16 * mib);
    const bytes = Buffer.alloc(8192);
    bytes.write(magic, offset);
    if (name === 'swap') {
      bytes.writeUInt32LE(1, 1024);
      bytes.writeUInt32LE(100, 1028);
    } else {
      bytes.writeBigUInt64LE(1n, 520);
      bytes.writeUInt32LE(32, 532);
      bytes.write('LVM2 001', 536);
    }
    await writeFile(device, bytes, { flag: 'r+' });
    t.is(await fileSystems.signature(device, signal), name);
  }
});

test('a partition table is named by its kind', async (t) => {
  const { fileSystems, disk, signal } = await bench(t);
  const device = await disk('disk', 16 * mib);
  const table = Buffer.alloc(512);
  table.writeUInt8(0x83, 450);
  table.writeUInt32LE(2048, 454);
  table.writeUInt32LE(1000, 458);
  table.writeUInt16LE(0xaa55, 510);
  await writeFile(device, table, { flag: 'r+' });
  t.is(await fileSystems.signature(device, signal), 'dos');
});

test('a disk with two signatures is an error that says so', async (t) => {
  const { fileSystems, disk, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.btrfs);
  await fileSystems.make(device, 'btrfs', 'x', signal);
  await writeFile(device, Buffer.concat([Buffer.alloc(4086), Buffer.from('SWAPSPACE2')]), { flag: 'r+' });
  const header = Buffer.alloc(8);
  header.writeUInt32LE(1, 0);
  header.writeUInt32LE(100, 4);
  await using file = await open(device, 'r+');
  await file.write(header, 0, 8, 1024);
  const fault = faultOf(await t.throwsAsync(fileSystems.signature(device, signal)));
  t.is(fault.code, 'UnexpectedSignature');
});

test('mkfs on a disk that is too small fails with its own words', async (t) => {
  const { fileSystems, disk, signal } = await bench(t);
  const fault = faultOf(await t.throwsAsync(fileSystems.make(await disk('disk', 8 * mib), 'xfs', 'x', signal)));
  t.is(fault.code, 'DamagedVolume');
  t.regex(fault.message, /formatting \/dev\/loop\d+ as xfs: mkfs\.xfs failed with exit code 1: .+/);
});

test('make that is given up before it began does nothing', async (t) => {
  const { fileSystems, disk, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  const gone = AbortSignal.abort(new Fault('Cancelled', 'gone'));
  const refusal = await t.throwsAsync(fileSystems.make(device, 'ext4', 'x', gone));
  t.is(faultOf(refusal).code, 'Cancelled');
  t.is(await fileSystems.signature(device, signal), undefined);
});

test('mounting as another type is an error that names the type', async (t) => {
  const { fileSystems, disk, mounted, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.xfs);
  await fileSystems.make(device, 'ext4', 'x', signal);
  const fault = faultOf(await t.throwsAsync(mounted(device, 'm', 'xfs')));
  t.is(fault.code, 'DamagedVolume');
  t.regex(fault.message, /no sound xfs/);
});

test('unmounting what is not mounted, or not there, succeeds', async (t) => {
  const { fileSystems, scratch } = await bench(t);
  await t.notThrowsAsync(fileSystems.unmount(await scratch.directory('empty')));
  await t.notThrowsAsync(fileSystems.unmount(scratch.path('nothing')));
});

test('a mount in use is not unmounted, and can still be used', async (t) => {
  const { fileSystems, disk, mounted, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  await fileSystems.make(device, 'ext4', 'x', signal);
  const target = await mounted(device, 'm', 'ext4');
  await using file = await open(join(target, 'file'), 'w');
  const fault = faultOf(await t.throwsAsync(fileSystems.unmount(target)));
  t.is(fault.code, 'VolumeInUse');
  await file.writeFile('still works');
  t.is((await entryAt(target))?.source, device);
});

test('a mount that is let go of in the meantime is unmounted', async (t) => {
  const { fileSystems, disk, mounted, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  await fileSystems.make(device, 'ext4', 'x', signal);
  const target = await mounted(device, 'm', 'ext4');
  const file = await open(join(target, 'file'), 'w');
  const unmounting = fileSystems.unmount(target);
  await file.close();
  await unmounting;
  t.is(await entryAt(target), undefined);
});

for (const fstype of allTypes) {
  test(`${fstype}: a new root folder gets owner and mode, once and for all`, async (t) => {
    const { fileSystems, disk, mounted, signal } = await bench(t);
    const device = await disk('disk', sizeBytes[fstype]);
    await fileSystems.make(device, fstype, 'x', signal);
    const target = await mounted(device, 'm', fstype);
    const root = { uid: 1000, gid: 1001, mode: 0o2770 };
    await fileSystems.adornRoot(target, root);
    await fileSystems.adornRoot(target, root);
    t.deepEqual(await ownerAndMode(target), root);
    await chmod(target, 0o700);
    await fileSystems.adornRoot(target, root);
    t.is((await ownerAndMode(target)).mode, 0o700, 'what a user changed stays');
  });
}

test('a crash between owner and mode is mended by the next attempt', async (t) => {
  const { fileSystems, scratch } = await bench(t);
  const folder = await scratch.directory('root');
  await chmod(folder, 0o755);
  await chown(folder, 1000, 1001);
  const root = { uid: 1000, gid: 1001, mode: 0o1777 };
  await fileSystems.adornRoot(folder, root);
  t.deepEqual(await ownerAndMode(folder), root);
});

test('a root folder with content keeps its owner and mode', async (t) => {
  const { fileSystems, scratch } = await bench(t);
  const folder = await scratch.directory('root');
  await chmod(folder, 0o755);
  await mkdir(join(folder, 'lost+found'));
  await writeFile(join(folder, 'file'), '');
  await fileSystems.adornRoot(folder, { uid: 1000, mode: 0o700 });
  t.deepEqual(await ownerAndMode(folder), { uid: 0, gid: 0, mode: 0o755 });
});

test('mountsBelow tells what is mounted below a folder, not beside it', async (t) => {
  const { fileSystems, disk, mounted, scratch, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  await fileSystems.make(device, 'ext4', 'x', signal);
  await scratch.directory('in');
  const target = await mounted(device, 'in/a b', 'ext4');
  await mounted(device, 'in-beside', 'ext4');
  t.deepEqual(await fileSystems.mountsBelow(scratch.path('in')), [
    { target, devicePath: device, fstype: 'ext4', isReadOnly: false },
  ]);
});

test('what a crash left mounted in the private folder is gone before the first look at a disk', async (t) => {
  const { fileSystems, disk, scratch, scratchFolder, signal } = await bench(t);
  const earlier = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  await earlier.fileSystems.make(device, 'ext4', 'x', signal);
  await mkdir(join(scratchFolder, 'mLeft'), { recursive: true });
  await scratch.mount({ source: device, target: join(scratchFolder, 'mLeft'), fstype: 'ext4' });
  t.false(await fileSystems.isHeld(device));
  t.deepEqual(await readdir(scratchFolder), []);
});

function isInForce(option: MountOption, shown: readonly string[]): boolean {
  switch (option) {
    case 'relatime':
      return shown.includes('relatime');
    case 'strictatime':
      return !shown.includes('relatime') && !shown.includes('noatime');
    case 'nodiscard':
      return !shown.some((word) => word === 'discard' || word.startsWith('discard='));
    case 'discard':
      return shown.some((word) => word === 'discard' || word.startsWith('discard='));
    default:
      return shown.includes(option);
  }
}

async function ownerAndMode(path: string): Promise<{ uid: number; gid: number; mode: number }> {
  const { uid, gid, mode } = await stat(path);
  return { uid, gid, mode: mode & 0o7777 };
}
