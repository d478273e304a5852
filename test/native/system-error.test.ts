import { open } from 'node:fs/promises';
import test from 'ava';
import { checked, codeOf, systemError } from '../../native/system-error.ts';

test('system error: it reads like the fs module’s own', async (t) => {
  const own = await t.throwsAsync(open('/no/such', 'r'));
  const ours = systemError(-2, 'open', '/no/such');
  t.is(ours.message, own.message);
  t.like(own, { code: ours.code, errno: ours.errno, syscall: ours.syscall, path: ours.path });
});

test('system error: two paths are both named', (t) => {
  const error = systemError(-18, 'ficlone', '/a', '/b');
  t.like(error, { code: 'EXDEV', path: '/a', dest: '/b' });
  t.regex(error.message, /ficlone '\/a' -> '\/b'$/);
});

test('system error: every number has a code to compare with', (t) => {
  t.is(systemError(-117, 'mount').code, 'EUCLEAN');
  t.is(systemError(-123, 'mount').code, 'ENOMEDIUM');
  t.is(systemError(-116, 'mount').code, 'ESTALE');
  t.is(systemError(-4000, 'mount').code, 'E4000');
  for (let errno = 1; errno < 134; errno++) t.regex(systemError(-errno, 'call').message, /^E\w+: [^U].*, call$/);
});

test('checked: a result that is no failure is passed on', (t) => {
  t.is(checked(7, 'call'), 7);
  t.throws(() => checked(-16, 'call'), { code: 'EBUSY' });
});

test('code of an error: only system errors have one', (t) => {
  t.is(codeOf(systemError(-16, 'call')), 'EBUSY');
  t.is(codeOf(new Error('text')), undefined);
  t.is(codeOf('EBUSY'), undefined);
});
