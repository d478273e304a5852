import test from 'ava';
import * as fc from 'fast-check';
import { newDiskUuid } from '../../../common/disk-uuid.ts';
import { diskIdOfName, qemuName, wwnText } from '../../../esx-service/core/qemu-names.ts';

/** Of a node's name, without the NUL at its end. */
const longestName = 31;

test('QEMU names: a file’s name tells the file, fits, and is told from others’ names', (t) => {
  const device = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n });
  const inode = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(device, inode, (dev, ino) => {
      const name = qemuName(`${dev}:${ino}`);
      t.is(diskIdOfName(name), `${dev}:${ino}`);
      t.true(name.length <= longestName);
    }),
  );
  for (const other of ['', 'vmdk', 'vmdk-1', 'vmdk-1-2-3', 'vmdk-g-1', '#block123', 'drive-vmdk-1-2']) {
    t.is(diskIdOfName(other), undefined);
  }
});

test('QEMU names: a WWN is of NAA type 5 with VMware’s number, and differs as the UUIDs do', (t) => {
  const [one, other] = ['a1b2c3d4-e5f6-4789-8abc-def012345678', 'a1b2c3d4-e5f6-4789-8abc-def012345679'].map((text) =>
    wwnText(newDiskUuid(text)),
  );
  t.regex(one ?? '', /^naa\.5000c29[0-9a-f]{9}$/);
  t.not(one, other);
});
