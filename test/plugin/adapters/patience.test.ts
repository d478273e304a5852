import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
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

test('a disk that another process has open for itself for a moment is mounted after it; one that stays so is refused', async (t) => {
  const { fileSystems, disk, scratch, mounted, signal } = await bench(t);
  const device = await disk('disk', sizeBytes.ext4);
  await fileSystems.make(device, 'ext4', 'x', signal);
  const alone = await open(device, constants.O_RDWR | constants.O_EXCL);
  const target = await scratch.directory('refused');
  const failure = await t.throwsAsync(
    fileSystems.mount({ devicePath: device, target, fstype: 'ext4', isReadOnly: false, options: [] }),
  );
  t.is(faultOf(failure).code, 'VolumeInUse');
  const mounting = mounted(device, 'm', 'ext4');
  setTimeout(() => void alone.close(), 30);
  t.is((await entryAt(await mounting))?.source, device);
});
