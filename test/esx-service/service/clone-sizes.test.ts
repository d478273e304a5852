import test from 'ava';
import { refused, startLocal } from '../support/commands.ts';
import { mebibyte } from '../support/place.ts';

test('clone: a btrfs may keep its size or grow to 256 MB and more; between, Create says so instead of the first Mount', async (t) => {
  const { commands } = await startLocal(t);
  await commands.create('source', { fstype: 'btrfs', sizeBytes: 120 * mebibyte });
  const between = commands.clone('copy', 'source', { sizeBytes: 160 * mebibyte });
  await refused(t, between, 'InvalidOption', 'size 160MB is too small', '256MB or more', '120MB');
  await t.notThrowsAsync(commands.clone('same', 'source', {}));
  await t.notThrowsAsync(commands.clone('larger', 'source', { sizeBytes: 256 * mebibyte }));
});
