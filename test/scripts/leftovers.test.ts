import test from 'ava';
import { leftBehind, type MachineState } from '../../scripts/test-run/leftovers.ts';

const nothing: MachineState = { mounts: new Set(), loops: new Set(), files: new Set() };
const folder = '/tmp/vmdk-test-mine';

test('leftovers: what was there before is not named', (t) => {
  const before: MachineState = { ...nothing, loops: new Set(['loop0 of /srv/disk']) };
  t.deepEqual(leftBehind(before, before, folder), []);
});

test('leftovers: mounts, loop devices and files that came are named', (t) => {
  const after: MachineState = {
    mounts: new Set([`${folder}/mnt (ext4 /dev/loop1)`]),
    loops: new Set([`loop1 of ${folder}/disk`]),
    files: new Set(['/mnt/vmdk']),
  };
  t.deepEqual(leftBehind(nothing, after, folder), [
    `mount ${folder}/mnt (ext4 /dev/loop1)`,
    `loop device loop1 of ${folder}/disk`,
    'file /mnt/vmdk',
  ]);
});

test('leftovers: what another run owns is not named', (t) => {
  const after: MachineState = { ...nothing, loops: new Set(['loop1 of /tmp/vmdk-test-other/disk']) };
  t.deepEqual(leftBehind(nothing, after, folder), []);
});
