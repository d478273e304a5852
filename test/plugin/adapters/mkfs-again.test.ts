/** A mkfs.btrfs that another volume's going disturbs, as a stand-in for the moment that cannot be met on demand. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { KernelFileSystems } from '../../../plugin/adapters/file-systems.ts';
import { bench, type Bench, sizeBytes } from './volume-disk.ts';

interface Disturbed extends Bench {
  readonly count: () => Promise<number>;
}

/** File systems whose mkfs.btrfs runs the given script before the real one. */
async function disturbed(t: ExecutionContext, script: string): Promise<Disturbed> {
  const place = await bench(t);
  const tools = await place.scratch.directory('tools');
  const tool = join(tools, 'mkfs.btrfs');
  const counter = place.scratch.path('count');
  await writeFile(
    tool,
    `#!/bin/sh\necho x >> ${counter}\n${script.replaceAll('COUNTER', counter)}\nexec /sbin/mkfs.btrfs "$@"\n`,
  );
  await chmod(tool, 0o755);
  const fileSystems = new KernelFileSystems({ scratchFolder: place.scratchFolder, searchPath: tools });
  return { ...place, fileSystems, count: async () => (await readFile(counter, 'utf8')).length / 2 };
}

test('btrfs: a format that failed before it wrote anything is tried again (stand-in for mkfs)', async (t) => {
  const { disk, fileSystems, signal, count } = await disturbed(t, '[ "$(wc -l < COUNTER)" -gt 2 ] || exit 1');
  const device = await disk('disk', sizeBytes.btrfs);
  await fileSystems.make(device, 'btrfs', 'db', signal);
  t.is(await fileSystems.signature(device, signal), 'btrfs');
  t.is(await count(), 3);
});

test('btrfs: a format that fails each time is given up, and says why (stand-in for mkfs)', async (t) => {
  const { disk, fileSystems, signal, count } = await disturbed(t, 'echo no luck >&2; exit 1');
  const device = await disk('disk', sizeBytes.btrfs);
  await t.throwsAsync(fileSystems.make(device, 'btrfs', 'db', signal), { message: /no luck/ });
  t.is(await count(), 5);
});

test('btrfs: a format that failed after it wrote is not tried again (stand-in for mkfs)', async (t) => {
  const { disk, fileSystems, signal, count } = await disturbed(t, '/sbin/mkfs.btrfs "$@" && exit 1');
  const device = await disk('disk', sizeBytes.btrfs);
  await t.throwsAsync(fileSystems.make(device, 'btrfs', 'db', signal));
  t.is(await count(), 1);
});
