import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import test from 'ava';
import { Fault, faultOf } from '../../../common/fault.ts';
import { patiently } from '../../../plugin/adapters/patience.ts';
import { bench, entryAt, sizeBytes } from './volume-disk.ts';

const busy = Object.assign(new Error('busy'), { code: 'EBUSY', errno: -16, syscall: 'mount' });
const other = Object.assign(new Error('damaged'), { code: 'EUCLEAN', errno: -117, syscall: 'mount' });

test('what is busy is tried again; another failure, and a caller who leaves, end it', async (t) => {
  const outcomes = [busy, busy, 'done'];
  const work = (): Promise<unknown> => {
    const next = outcomes.shift();
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  };
  t.is(await patiently(work), 'done');
  outcomes.push(busy, other, 'never');
  const damaged = await t.throwsAsync(patiently(work));
  t.is(damaged, other);
  t.deepEqual(outcomes, ['never']);
  const left = new Fault('Cancelled', 'left');
  const refused = await t.throwsAsync(patiently(work, AbortSignal.abort(left)));
  t.is(refused, left);
  t.deepEqual(outcomes, ['never']);
});

test('a Mount is tried for about a second on a disk that another process has open for itself, then refused', async (t) => {
  const { fileSystems, disk, scratch, mounted, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  await fileSystems.make(device, 'ext4', 'x', signal);
  const alone = await open(device, constants.O_RDWR | constants.O_EXCL);
  const target = await scratch.directory('refused');
  const begun = performance.now();
  const failure = await t.throwsAsync(
    fileSystems.mount({ devicePath: device, target, fstype: 'ext4', isReadOnly: false, options: [] }),
  );
  const tookMs = performance.now() - begun;
  t.is(faultOf(failure).code, 'VolumeInUse');
  t.true(tookMs >= 900, `refused after ${tookMs} ms`);
  await alone.close();
  t.is((await entryAt(await mounted(device, 'm', 'ext4')))?.source, device);
});

test('what another process had open for itself at the first try is used at the next', async (t) => {
  const { disk } = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  const openAlone = (): Promise<FileHandle> => open(device, constants.O_RDWR | constants.O_EXCL);
  const other = await openAlone();
  let refusals = 0;
  await using _mine = await patiently(async () => {
    try {
      return await openAlone();
    } catch (error) {
      refusals += 1;
      if (refusals === 1) await other.close();
      throw error;
    }
  });
  t.true(refusals >= 1);
});
