import test from 'ava';
import { mountedName, mountPathOf } from '../../../plugin/core/mount-path.ts';
import { planRecovery, type RecoveryStep, type Seen } from '../../../plugin/core/recovery-plan.ts';

const all: readonly Seen[] = [true, false].flatMap((isAttached) =>
  (['nothing', 'its disk', 'something else'] as const).flatMap((mounted) =>
    [0, 2].flatMap((references) =>
      [true, false, undefined].map((isUsedElsewhere) => ({ isAttached, mounted, references, isUsedElsewhere })),
    ),
  ),
);
const plan = (seen: Seen): RecoveryStep => planRecovery('db@local', '/mnt/vmdk/local/db', seen);

test('recovery plan: what anybody uses, or may use, is neither unmounted nor let go', (t) => {
  for (const seen of all.filter(({ isUsedElsewhere }) => isUsedElsewhere !== false)) {
    t.false(['let go', 'unmount'].includes(plan(seen).do), `for ${JSON.stringify(seen)}`);
  }
});

test('recovery plan: a mounted disk with references is taken up, whoever else uses it', (t) => {
  for (const isUsedElsewhere of [true, false, undefined]) {
    t.deepEqual(plan({ isAttached: true, mounted: 'its disk', references: 1, isUsedElsewhere }), { do: 'take up' });
  }
});

test('recovery plan: what nobody uses does not stay', (t) => {
  for (const seen of all.filter(({ isUsedElsewhere }) => isUsedElsewhere === false)) {
    const isTakenUp = seen.isAttached && seen.mounted === 'its disk' && seen.references > 0;
    const { do: step } = plan(seen);
    if (!isTakenUp) t.true(['let go', 'unmount', 'nothing'].includes(step), `for ${JSON.stringify(seen)}`);
    t.is(step === 'nothing', !seen.isAttached && seen.mounted === 'nothing', `for ${JSON.stringify(seen)}`);
  }
});

test('recovery plan: a disk whose containers have their own mounts of it is mounted again', (t) => {
  t.is(plan({ isAttached: true, mounted: 'nothing', references: 1, isUsedElsewhere: true }).do, 'mount again');
});

test('recovery plan: what does not fit together is told, with the volume and what to do', (t) => {
  for (const seen of all) {
    const step = plan(seen);
    const fits = seen.isAttached ? seen.mounted !== 'something else' : seen.mounted === 'nothing';
    if (!fits && seen.isUsedElsewhere !== false) t.is(step.do, 'leave alone');
    if ('problem' in step) t.regex(step.problem, /volume db@local/);
  }
});

test('mount path: the name of a volume comes back from its path, and nothing else does', (t) => {
  for (const name of ['db@local', 'a b@big', 'ü@x', '-@1']) {
    t.is(mountedName('/mnt/vmdk', mountPathOf('/mnt/vmdk', name as never)), name as never);
  }
  for (const path of [
    '/mnt/vmdk',
    '/mnt/vmdk/local',
    '/mnt/vmdk/local/a/b',
    '/mnt/other/local/a',
    '/mnt/vmdk/lo@cal/a',
  ]) {
    t.is(mountedName('/mnt/vmdk', path), undefined);
  }
});
