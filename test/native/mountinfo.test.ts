import test from 'ava';
import fc from 'fast-check';
import { parseMountinfo } from '../../native/mountinfo.ts';

test('mountinfo: a line gives every field', (t) => {
  const [entry] = parseMountinfo(
    '36 35 98:7 /sub /mnt ro,noatime shared:5 master:1 - ext4 /dev/sda rw,errors=continue\n',
  );
  t.deepEqual(entry, {
    mountId: 36,
    parentId: 35,
    deviceMajor: 98,
    deviceMinor: 7,
    root: '/sub',
    target: '/mnt',
    fstype: 'ext4',
    source: '/dev/sda',
    isReadOnly: true,
    mountOptions: ['ro', 'noatime'],
    superOptions: ['rw', 'errors=continue'],
    propagation: ['shared:5', 'master:1'],
  });
});

test('mountinfo: a file system that is read-only makes the mount read-only', (t) => {
  t.true(parseMountinfo('1 2 0:1 / /mnt rw - ext4 /dev/sda ro')[0]?.isReadOnly);
  t.false(parseMountinfo('1 2 0:1 / /mnt rw - ext4 /dev/sda rw')[0]?.isReadOnly);
});

test('mountinfo: a dash or spaces in a path do not shift the fields', (t) => {
  const [entry] = parseMountinfo('1 2 0:1 - - rw - tmpfs a\\040-\\040b rw');
  t.is(entry?.target, '-');
  t.is(entry?.source, 'a - b');
});

test('mountinfo: lines of another form are left out', (t) => {
  t.deepEqual(parseMountinfo('\n\nnonsense\n1 2 0:1 / /mnt rw ext4 /dev/sda rw\n'), []);
});

test('mountinfo: an empty source is kept empty', (t) => {
  t.is(parseMountinfo('1 2 0:1 / /mnt rw - tmpfs  rw')[0]?.source, '');
});

/** As the kernel does it: of blank, tab, newline, backslash and hash, each byte in octal. */
function mangle(path: string): string {
  return path.replace(/[ \t\n\\#]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

test('mountinfo: any path comes back as it was', (t) => {
  const path = fc.string({
    unit: fc.oneof(
      fc.constantFrom(' ', '\t', '\n', '\\', '#', '0', '4', '7', 'é', '雪'),
      fc.string({ unit: 'grapheme' }),
    ),
  });
  fc.assert(
    fc.property(path, (name) => {
      const target = `/${name.replaceAll('\0', '').toWellFormed()}`;
      t.is(parseMountinfo(`1 2 0:1 / ${mangle(target)} rw - tmpfs tmpfs rw\n`)[0]?.target, target);
    }),
  );
});

test('mountinfo: escaped bytes of one character are put together', (t) => {
  t.is(parseMountinfo('1 2 0:1 / /\\303\\251\\351\\233\\252 rw - tmpfs t rw')[0]?.target, '/é雪');
});
