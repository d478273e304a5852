import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { loopsBelow } from '../docker/harness/loops.ts';
import { Floor } from './floor.ts';
import { TestBed } from './test-bed.ts';

test('bench floor: every step of every volume is done and timed, and nothing is left', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  {
    await using bed = await TestBed.open(folder);
    const floor = await Floor.prepare(bed, ['mkfs.ext4', '-q', 'DEVICE'], AbortSignal.any([]));
    const { steps, errors } = await floor.run({ volumes: 5, clients: 2, laterPairs: 1 });
    t.is(errors, 0);
    t.deepEqual(
      Object.values(steps).map((times) => times.length),
      [5, 5, 5, 5, 5, 5],
    );
    t.deepEqual(await readdir(join(bed.folder, 'floor/disks')), []);
  }
  t.deepEqual(await loopsBelow(folder), []);
  t.deepEqual(await readdir(folder), ['floor']);
});
