import test from 'ava';
import { cString, libvmci, NativeLibrary, textAt } from '../../native/ffi.ts';

test('C string: it ends in NUL and has none inside', (t) => {
  t.deepEqual(cString('é'), Buffer.from([0xc3, 0xa9, 0]));
  t.throws(() => cString('a\0b'), { code: 'ERR_INVALID_ARG_VALUE' });
});

test('text of C: it ends at its NUL, or where its field ends', (t) => {
  const bytes = Buffer.from('..abc\0def');
  t.is(textAt(bytes, 2, 7), 'abc');
  t.is(textAt(bytes, 2, 2), 'ab');
  t.is(textAt(bytes, 5, 4), '');
});

test('library: one that is not there is told with what to do', (t) => {
  const missing = new NativeLibrary('/no/such/library.so').function('vmci_unmount', 'pointer', 'uint32');
  t.throws(() => missing.now(cString('/'), 0), { message: /^\/no\/such\/library\.so .*build-native\.sh/ });
});

test('library: a failed call gives the negative error number, on either thread', async (t) => {
  const unmount = libvmci.function('vmci_unmount', 'pointer', 'uint32');
  t.is(unmount.now(cString('/no/such/folder'), 0), -2);
  t.is(await unmount.later(cString('/no/such/folder'), 0), -2);
});

test('library: many calls at once each get their own answer', async (t) => {
  const probe = libvmci.function('vmci_exclusive_probe', 'pointer');
  const calls = Array.from({ length: 500 }, (_, index) =>
    probe.later(cString(index % 2 === 0 ? '/no/such/device' : '/dev/null/below')),
  );
  const results = await Promise.all(calls);
  t.true(results.every((result, index) => result === (index % 2 === 0 ? -2 : -20)));
});
