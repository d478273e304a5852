import { randomUUID } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { parseVolumeName, type VolumeName } from '../../../common/names.ts';
import {
  descriptorFile,
  extentFile,
  metadataFile,
  roleOf,
  tombstoneFile,
} from '../../../esx-service/core/volume-files.ts';

const volumeName = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 60 }),
    fc.constantFrom('a.vmdk', 'a.vmdk.json', 'a.vmdk.removed', '.a', `.${randomUUID()}.tmp`, 'a-flat.x', 'a b"c'),
  )
  .filter((text) => {
    try {
      parseVolumeName(text);
      return true;
    } catch {
      return false;
    }
  })
  .map((text) => text as VolumeName);

test('files: the role of each of a volume’s files is told by its name alone, whatever the volume is called', (t) => {
  fc.assert(
    fc.property(volumeName, (name) => {
      t.deepEqual(roleOf(descriptorFile(name)), { role: 'descriptor', name });
      t.deepEqual(roleOf(extentFile(name)), { role: 'extent', name });
      t.deepEqual(roleOf(metadataFile(name)), { role: 'metadata', name });
      t.deepEqual(roleOf(tombstoneFile(name)), { role: 'tombstone', name });
    }),
  );
});

test('files: no two volumes share a file', (t) => {
  fc.assert(
    fc.property(volumeName, volumeName, (one, other) => {
      if (one === other) return;
      const filesOf = (name: VolumeName): string[] =>
        [descriptorFile, extentFile, metadataFile, tombstoneFile].map((file) => file(name));
      t.is(new Set([...filesOf(one), ...filesOf(other)]).size, 8);
    }),
  );
});

test('files: what is made up for work in progress is never a volume’s file', (t) => {
  t.is(roleOf(`.${randomUUID()}.tmp`).role, 'aside');
  fc.assert(
    fc.property(volumeName, (name) => {
      for (const file of [descriptorFile, extentFile, metadataFile, tombstoneFile])
        t.not(roleOf(file(name)).role, 'aside');
    }),
  );
});

test('files: parts of other disks and strangers are no volumes', (t) => {
  for (const file of ['db-000001.vmdk', 'db-000001-delta.vmdk', 'db-ctk.vmdk', 'db-rdmp.vmdk'])
    t.is(roleOf(file).role, 'part', `file ${file}`);
  for (const file of ['README', `${'x'.repeat(101)}.vmdk`, '.vmdk', 'a-flat-flat.vmdk'])
    t.is(roleOf(file).role, 'other', `file ${file}`);
});
