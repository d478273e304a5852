import test from 'ava';
import { faultOf } from '../../common/fault.ts';
import { parseVolumeOptions } from '../../common/volume-options.ts';

test('options: without any, a volume is 100 MB, ext4, thin and writable', (t) => {
  t.deepEqual(parseVolumeOptions({}), {
    sizeBytes: 100 * 1024 ** 2,
    fstype: 'ext4',
    diskformat: 'thin',
    access: 'read-write',
    attachAs: 'independent_persistent',
    cloneFrom: undefined,
    mountOptions: [],
    root: { uid: undefined, gid: undefined, mode: undefined },
  });
});

test('options: each is taken', (t) => {
  const options = parseVolumeOptions({
    size: '1gb',
    fstype: 'xfs',
    diskformat: 'eagerzeroedthick',
    access: 'read-only',
    'attach-as': 'persistent',
    'mount-options': 'noatime, nosuid',
    uid: '999',
    gid: '0',
    mode: '1777',
  });
  t.is(options.sizeBytes, 1024 ** 3);
  t.is(options.fstype, 'xfs');
  t.is(options.diskformat, 'eagerzeroedthick');
  t.deepEqual(options.mountOptions, ['noatime', 'nosuid']);
  t.deepEqual(options.root, { uid: 999, gid: 0, mode: 0o1777 });
});

test('options: a clone takes size, file system and root from its source', (t) => {
  const options = parseVolumeOptions({ 'clone-from': 'db' });
  t.is(options.sizeBytes, undefined);
  t.is(options.fstype, undefined);
  t.is(parseVolumeOptions({ 'clone-from': 'db', size: '2gb' }).sizeBytes, 2 * 1024 ** 3);
});

const refused: readonly (readonly [Record<string, string>, RegExp])[] = [
  [{ szie: '1gb' }, /unknown option "szie".*size \(default 100mb\).*fstype \(default ext4\).*clone-from/],
  [{ constructor: 'x' }, /unknown option "constructor"/],
  [{ size: 'big' }, /"big".*10gb/],
  [{ fstype: 'vfat' }, /fstype.*"vfat".*ext4, xfs, btrfs/],
  [{ fstype: 'xfs' }, /100MB is too small for xfs.*300MB/],
  [{ fstype: 'btrfs', size: '50mb' }, /50MB is too small for btrfs/],
  [{ diskformat: 'Thin' }, /"Thin".*thin, zeroedthick, eagerzeroedthick/],
  [{ access: 'rw' }, /"rw".*read-write, read-only/],
  [{ 'attach-as': 'x' }, /independent_persistent, persistent/],
  [{ 'clone-from': '' }, /clone-from.*""/],
  [{ 'clone-from': 'a', fstype: 'ext4' }, /fstype cannot be given with clone-from/],
  [{ 'clone-from': 'a', uid: '1' }, /uid cannot be given with clone-from/],
  [{ 'mount-options': 'noatime,suid' }, /"suid".*noatime/],
  [{ 'mount-options': 'context=x' }, /"context=x"/],
  [{ 'mount-options': '' }, /mount-options.*""/],
  [{ uid: '-1' }, /uid.*"-1"/],
  [{ uid: '4294967295' }, /uid.*"4294967295"/],
  [{ gid: 'root' }, /gid.*"root"/],
  [{ mode: '999' }, /mode.*"999".*octal/],
  [{ mode: '10000' }, /mode.*"10000"/],
];
for (const [options, message] of refused) {
  test(`options: ${JSON.stringify(options)} is refused in one sentence with the value and what is allowed`, (t) => {
    const fault = faultOf(t.throws(() => parseVolumeOptions(options)));
    t.is(fault.code, 'InvalidOption');
    t.regex(fault.message, message);
    t.notRegex(fault.message, /\n/);
  });
}
