import test from 'ava';
import { parseVolumeName } from '../../../common/names.ts';
import { newDiskUuid } from '../../../common/disk-uuid.ts';
import { type Attachment, markShared, withHolder } from '../../../esx-service/core/holders.ts';
import { parseLoopLabel, vmMark, writeLoopLabel } from '../../../esx-service/core/loop-label.ts';
import { recordOf, type VolumeRecord } from '../../../esx-service/core/volume-record.ts';
import { foreignMetadata } from '../../../esx-service/core/foreign-disk.ts';

const uuid = newDiskUuid('a1b2c3d4-e5f6-4789-8abc-def012345678');

function record(name: string, diskId: string): VolumeRecord {
  return recordOf({
    name: parseVolumeName(name),
    datastore: 'local',
    metadata: foreignMetadata({ descriptor: undefined, diskId, allocatedBytes: 0, createdAt: new Date(0) }),
    hasMetadata: false,
    extent: { diskId, path: `/${name}`, offsetBytes: 0, sizeBytes: 512 },
    allocatedBytes: 0,
    problem: undefined,
  });
}

const attachment = (path: string, holder: Attachment['holder'], diskId = '1:1'): Attachment => ({
  diskId,
  device: { kind: 'loop', path, diskSequence: 1 },
  isReadOnly: false,
  holder,
});
const alpha = { vm: { id: 'alpha', name: 'alpha' } };

test('holders: a disk belongs to the VM that holds it, and to nobody when nobody does', (t) => {
  const held = withHolder(record('db', '1:1'), [
    attachment('/dev/loop1', alpha),
    attachment('/dev/loop2', alpha, '1:2'),
  ]);
  t.deepEqual(held.volume.attached, { vm: alpha.vm, device: { kind: 'loop', path: '/dev/loop1', diskSequence: 1 } });
  t.is(held.volume.problem, undefined);
  t.is(withHolder(held, []).volume.attached, undefined);
});

test('holders: a disk that something else holds, or that is held twice, cannot be used', (t) => {
  const strange = withHolder(record('db', '1:1'), [
    attachment('/dev/loop1', { other: 'by something else, as /dev/loop1' }),
  ]);
  t.is(strange.volume.problem, 'it is attached by something else, as /dev/loop1');
  t.is(strange.volume.attached, undefined);
  const twice = withHolder(record('db', '1:1'), [attachment('/dev/loop1', alpha), attachment('/dev/loop2', alpha)]);
  t.regex(twice.volume.problem ?? '', /more than once, as \/dev\/loop1 and \/dev\/loop2/);
});

test('holders: two volumes with one extent cannot be used, neither of them', (t) => {
  const [one, two, three] = markShared([record('one', '1:1'), record('two', '1:1'), record('three', '1:3')]);
  t.regex(one?.volume.problem ?? '', /two@local/);
  t.regex(two?.volume.problem ?? '', /one@local/);
  t.is(three?.volume.problem, undefined);
});

test('loop label: it says which VM and which disk, within the kernel’s 63 bytes', (t) => {
  const label = writeLoopLabel('a VM with a very long name '.repeat(5), uuid);
  t.true(Buffer.byteLength(label) <= 63);
  t.deepEqual(parseLoopLabel(label), { vmMark: vmMark('a VM with a very long name '.repeat(5)), uuid });
  for (const other of [
    '',
    'disk.img',
    'vmdk:x:y',
    `vmdk:${vmMark('a')}:${uuid}:more`,
    `other:${vmMark('a')}:${uuid}`,
  ]) {
    t.is(parseLoopLabel(other), undefined, `label ${other}`);
  }
});
