import test from 'ava';
import { flushed } from '../../../esx-service/adapters/folder-mount.ts';

/** Flushes that fail with these, one after another, and succeed then. */
const failing = (...codes: string[]): Parameters<typeof flushed>[0] => ({
  sync: () => {
    const code = codes.shift();
    return code === undefined ? Promise.resolve() : Promise.reject(Object.assign(new Error(code), { code, errno: -1 }));
  },
});

test('folder: a flush that tells of an earlier failure, once, means nothing; one that fails again does', async (t) => {
  await t.notThrowsAsync(flushed(failing('EIO')));
  await t.throwsAsync(flushed(failing('EIO', 'EIO')), { message: 'EIO' });
});

test('folder: one that is read-only can be looked at', async (t) => {
  await t.notThrowsAsync(flushed(failing('EROFS', 'EROFS')));
});
