import { hash, randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { faultOf } from '../../../common/fault.ts';
import type { Fstype } from '../../../common/volume-options.ts';
import { probeSignature } from '../../../native/signature.ts';
import { ClonePreparation } from '../../../plugin/adapters/clone-preparation.ts';
import { KernelFileSystems } from '../../../plugin/adapters/file-systems.ts';
import { patiently } from '../../../plugin/adapters/patience.ts';
import { PrivateMounts } from '../../../plugin/adapters/private-mounts.ts';
import { Tools } from '../../../plugin/adapters/tools.ts';
import { run } from '../../native/support/scratch.ts';
import { allTypes, type Bench, bench, sizeBytes, textIn } from './volume-disk.ts';

/** A source in use: data on the disk, and data that only its journal holds. Its clone is `clone`, not yet attached. */
async function copiedInUse(
  t: ExecutionContext,
  fstype: Fstype,
  bytes = sizeBytes[fstype],
): Promise<Bench & { source: string; sourceUuid: string; checksum: string }> {
  const place = await bench(t);
  const device = await place.disk('source', sizeBytes[fstype]);
  await place.fileSystems.make(device, fstype, 'db', place.signal);
  const source = await place.mounted(device, 'at-source', fstype);
  await writeFile(join(source, 'file'), 'on the disk');
  const bulk = randomBytes(1_000_000);
  await writeFile(join(source, 'bulk'), bulk);
  await run('sync', '-f', source);
  const late = await open(join(source, 'late'), 'w');
  await late.writeFile('in the journal');
  await late.sync();
  await late.close();
  await place.copied('source', 'clone', bytes);
  const sourceUuid = (await probeSignature(device))?.uuid ?? '';
  return { ...place, source, sourceUuid, checksum: hash('sha256', bulk) };
}

/** That the data of the source is there, what only its journal held too. */
async function hasData(t: ExecutionContext, target: string, fstype: Fstype, checksum: string): Promise<void> {
  t.is(await textIn(target, 'file'), 'on the disk');
  t.is(hash('sha256', await readFile(join(target, 'bulk'))), checksum);
  if (fstype !== 'ext2') t.is(await textIn(target, 'late'), 'in the journal');
}

for (const fstype of allTypes) {
  for (const factor of [1, 3]) {
    const title = factor === 1 ? 'on a disk of the same size' : 'on a larger disk';
    test(`${fstype}: a clone ${title} is mounted beside its source, with the same data`, async (t) => {
      const place = await copiedInUse(t, fstype, factor * sizeBytes[fstype]);
      const { fileSystems, source, sourceUuid } = place;
      const clone = await place.attached('clone');
      t.is((await probeSignature(clone))?.uuid, sourceUuid);
      await fileSystems.prepareClone(clone, fstype, place.signal);
      t.not((await probeSignature(clone))?.uuid, sourceUuid, 'it has a UUID of its own');
      t.deepEqual(await readdir(place.scratchFolder).catch(() => []), []);
      const target = await place.mounted(clone, 'at-clone', fstype);
      await hasData(t, target, fstype, place.checksum);
      await writeFile(join(target, 'file'), 'changed in the clone');
      t.is(await textIn(source, 'file'), 'on the disk');
      const { blocks, bsize } = await statfs(target);
      if (factor > 1) t.true(blocks * bsize > 2 * sizeBytes[fstype], `it has ${blocks * bsize} bytes`);
      await fileSystems.unmount(target);
      await t.notThrowsAsync(run(...checkers[fstype], clone), 'its own checker finds nothing');
    });
  }

  test(`${fstype}: preparing again, also after use, keeps the data`, async (t) => {
    const { fileSystems, attached, mounted, signal } = await copiedInUse(t, fstype, 2 * sizeBytes[fstype]);
    const clone = await attached('clone');
    await fileSystems.prepareClone(clone, fstype, signal);
    const used = await mounted(clone, 'used', fstype);
    await writeFile(join(used, 'mine'), 'kept');
    await fileSystems.unmount(used);
    await fileSystems.prepareClone(clone, fstype, signal);
    const target = await mounted(clone, 'again', fstype);
    t.is(await textIn(target, 'mine'), 'kept');
  });

  test(`${fstype}: a clone that a crash left mounted in the private folder is prepared all the same`, async (t) => {
    const place = await copiedInUse(t, fstype);
    const clone = await place.attached('clone');
    await place.fileSystems.prepareClone(clone, fstype, place.signal);
    await mkdir(join(place.scratchFolder, 'mLeft'), { recursive: true });
    await patiently(() => place.scratch.mount({ source: clone, target: join(place.scratchFolder, 'mLeft'), fstype }));
    const next = new KernelFileSystems({ scratchFolder: place.scratchFolder });
    await t.notThrowsAsync(next.prepareClone(clone, fstype, place.signal));
  });
}

test('a disk that bears another signature is not touched', async (t) => {
  const { fileSystems, disk, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.xfs);
  await fileSystems.make(device, 'ext4', 'x', signal);
  const before = await probeSignature(device);
  const fault = faultOf(await t.throwsAsync(fileSystems.prepareClone(device, 'xfs', signal)));
  t.is(fault.code, 'UnexpectedSignature');
  t.deepEqual(await probeSignature(device), before);
});

test('a tool that is not installed is named with its package', async (t) => {
  const { attached, scratchFolder, signal } = await copiedInUse(t, 'ext4');
  const tools = new Tools('', []);
  const preparation = new ClonePreparation(tools, new PrivateMounts(scratchFolder));
  const fault = faultOf(await t.throwsAsync(preparation.prepare(await attached('clone'), 'ext4', signal)));
  t.is(fault.code, 'NotSupported');
  t.regex(fault.message, /needs e2fsck, which is not installed; install e2fsprogs/);
});

/** The writer, where we write ourselves. */
const ours = 'node';
/** Read-only. */
const checkers: Readonly<Record<Fstype, readonly [string, ...string[]]>> = {
  ext4: ['e2fsck', '-fn'],
  ext3: ['e2fsck', '-fn'],
  ext2: ['e2fsck', '-fn'],
  xfs: ['xfs_repair', '-n'],
  btrfs: ['btrfs', 'check', '--readonly'],
};
/** What writes to the disk when a clone is prepared. */
const writers: Readonly<Record<Fstype, readonly string[]>> = {
  ext4: ['e2fsck', 'tune2fs', 'resize2fs'],
  ext3: ['e2fsck', 'tune2fs', 'resize2fs'],
  ext2: ['tune2fs', 'resize2fs'],
  xfs: [ours],
  btrfs: [ours],
};
/** Every write at first, then ever fewer. */
const crashPoints = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 45, 70, 100, 150];

for (const fstype of allTypes) {
  for (const tool of writers[fstype]) {
    test.serial(`${fstype}: a preparation that ended in any write of ${tool} can be repeated`, async (t) => {
      const place = await copiedInUse(t, fstype, 2 * sizeBytes[fstype]);
      const crashes = await crashingTools(place, tool);
      let crashed = 0;
      for (const point of crashPoints) {
        const name = `clone${point}`;
        await place.copied('clone', name, 2 * sizeBytes[fstype]);
        const clone = await place.attached(name);
        const preparation =
          tool === ours
            ? crashes.ofOurs(point, clone, fstype)
            : crashes.at(point).then((broken) => broken.prepareClone(clone, fstype, place.signal));
        await preparation.catch(() => undefined);
        if (!(await crashes.happened())) break;
        crashed += 1;
        await place.fileSystems.prepareClone(clone, fstype, place.signal);
        const target = await place.mounted(clone, `at-clone${point}`, fstype);
        await hasData(t, target, fstype, place.checksum);
        t.not((await probeSignature(clone))?.uuid, place.sourceUuid);
        t.true((await statfs(target)).blocks * (await statfs(target)).bsize > 1.5 * sizeBytes[fstype]);
        await place.fileSystems.unmount(target);
        await t.notThrowsAsync(
          run(...checkers[fstype], clone),
          `its own checker finds nothing after a crash in write ${point}`,
        );
      }
      t.true(crashed > 0, 'the tool never wrote');
    });
  }

  test.serial(
    `${fstype}: a format that ended in any write of mkfs leaves a disk that is made, or can be made`,
    async (t) => {
      const place = await bench(t);
      const crashes = await crashingTools(place, `mkfs.${fstype}`);
      let crashed = 0;
      for (const point of [...crashPoints, 200, 300, 450, 700]) {
        const device = await place.disk(`disk${point}`, sizeBytes[fstype]);
        await (await crashes.at(point)).make(device, fstype, 'db', place.signal).catch(() => undefined);
        if (!(await crashes.happened())) break;
        crashed += 1;
        const found = await place.fileSystems.signature(device, place.signal);
        if (found === undefined) await place.fileSystems.make(device, fstype, 'db', place.signal);
        else t.is(found, fstype);
        const target = await place.mounted(device, `at${point}`, fstype);
        await writeFile(join(target, 'file'), 'works');
        await place.fileSystems.unmount(target);
      }
      t.true(crashed > 0, 'mkfs never wrote');
    },
  );
}

interface Crashes {
  /** An adapter whose tool ends at that write. */
  at(point: number): Promise<KernelFileSystems>;
  /** Prepares a clone in a process of its own, which ends at that write of its own. */
  ofOurs(point: number, devicePath: string, fstype: Fstype): Promise<unknown>;
  /** Whether it did, since the last question. */
  happened(): Promise<boolean>;
}

async function crashingTools({ scratch, scratchFolder }: Bench, tool: string): Promise<Crashes> {
  const library = scratch.path('crash-at-write.so');
  await run('cc', '-shared', '-fPIC', '-O2', '-o', library, join(import.meta.dirname, 'crash-at-write.c'), '-ldl');
  const [real] = (await run('sh', '-c', `command -v ${tool}`)).split('\n');
  const mark = scratch.path('crashed');
  return {
    async at(point) {
      const folder = await scratch.directory(`tools${point}`);
      const settings = `LD_PRELOAD=${library} CRASH_AT=${point} CRASH_MARK=${mark}`;
      await writeFile(join(folder, tool), `#!/bin/sh\n${settings} exec ${real ?? tool} "$@"\n`);
      await chmod(join(folder, tool), 0o755);
      return new KernelFileSystems({ scratchFolder, searchPath: folder });
    },
    ofOurs(point, devicePath, fstype) {
      const settings = [`LD_PRELOAD=${library}`, `CRASH_AT=${point}`, `CRASH_MARK=${mark}`];
      const script = fileURLToPath(import.meta.resolve('./prepare-clone.ts'));
      return run('env', ...settings, process.execPath, script, devicePath, fstype, scratchFolder);
    },
    async happened() {
      const isThere = (await readdir(scratch.folder)).includes('crashed');
      await rm(mark, { force: true });
      return isThere;
    },
  };
}
