/** Bad input reaches the user as one sentence in Docker's own error output, and leaves nothing behind. */
import anyTest, { type TestFn } from 'ava';
import { PrivateDocker } from './harness/private-docker.ts';
import { askPlugin } from './support.ts';

const test = anyTest as TestFn<{ docker: PrivateDocker }>;

test.before(async (t) => {
  const docker = await PrivateDocker.start({ withoutImages: true });
  t.context = { docker };
  await docker.startPlugin();
});

test.after.always(async (t) => {
  await t.context.docker.stop();
});

const refusals: readonly (readonly [readonly string[], RegExp])[] = [
  [['nonsense=1'], /unknown option "nonsense".*size \(default 100mb\)/],
  [['size=10xb'], /size "10xb".*such as 10gb/],
  [['size=63tb'], /"63tb".*62tb/],
  [['fstype=xfs', 'size=299mb'], /299MB is too small for xfs.*300MB/],
  [['fstype=ntfs'], /"ntfs".*ext4, xfs, btrfs/],
  [['access=rw'], /"rw".*read-write, read-only/],
  [['mount-options=exec'], /"exec"/],
  [['clone-from=absent'], /absent@local/],
  [['diskformat=zeroedthick', 'size=61tb'], /[Nn]o space/],
];
for (const [options, message] of refusals) {
  test.serial(`docker: create with ${options.join(' ')} fails with one sentence and leaves nothing`, async (t) => {
    const { docker } = t.context;
    const args = options.flatMap((each) => ['--opt', each]);
    const { code, stderr } = await docker.docker(['volume', 'create', '--driver', 'vmdk', ...args, 'refused']);
    t.not(code, 0);
    t.regex(stderr, message);
    t.is((await docker.docker(['volume', 'inspect', 'refused'])).code, 1);
  });
}

for (const name of ['..', 'a/b', 'db-flat', 'db-123456', 'x'.repeat(101)]) {
  test.serial(`docker: the name ${name.slice(0, 12)} is refused, saying why`, async (t) => {
    const { Err } = await askPlugin(t.context.docker, 'VolumeDriver.Create', { Name: name, Opts: {} });
    t.regex(String(Err), /volume name .*/);
  });
}
