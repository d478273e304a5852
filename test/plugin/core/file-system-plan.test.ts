import test from 'ava';
import fc from 'fast-check';
import { fstypes } from '../../../common/volume-options.ts';
import { planFileSystem } from '../../../plugin/core/file-system-plan.ts';

const disk = fc.record({
  fullName: fc.constant('a@local'),
  fstype: fc.option(fc.constantFrom(...fstypes), { nil: undefined }),
  isFormatted: fc.boolean(),
  isFreshClone: fc.boolean(),
  allocatedBytes: fc.constantFrom(0, 4096),
  signature: fc.option(fc.constantFrom(...fstypes, 'gpt', 'swap'), { nil: undefined }),
});

test('file system plan: only a disk that was never formatted and bears no signature is formatted', (t) => {
  fc.assert(
    fc.property(disk, (given) => {
      let step: string;
      try {
        step = planFileSystem(given).do;
      } catch {
        return;
      }
      if (step === 'format') t.true(!given.isFormatted && given.signature === undefined);
    }),
  );
});

test('file system plan: a disk made elsewhere that holds data without a signature is never formatted', (t) => {
  const made = {
    fullName: 'a@local',
    fstype: undefined,
    isFormatted: false,
    isFreshClone: false,
    signature: undefined,
  };
  t.throws(() => planFileSystem({ ...made, allocatedBytes: 4096 }), { message: /made elsewhere/ });
  t.deepEqual(planFileSystem({ ...made, allocatedBytes: 0 }), { do: 'format', fstype: 'ext4' });
});

test('file system plan: a signature other than the expected one is refused, and both are named', (t) => {
  const given = {
    fullName: 'a@local',
    fstype: 'ext4',
    isFormatted: false,
    isFreshClone: false,
    allocatedBytes: 0,
  } as const;
  t.throws(() => planFileSystem({ ...given, signature: 'gpt' }), { message: /gpt.*ext4/ });
  t.throws(() => planFileSystem({ ...given, signature: 'xfs' }), { message: /xfs.*ext4/ });
});

test('file system plan: a clone is prepared before its first mount', (t) => {
  const given = {
    fullName: 'a@local',
    fstype: 'xfs',
    isFormatted: true,
    isFreshClone: true,
    allocatedBytes: 1,
    signature: undefined,
  } as const;
  t.deepEqual(planFileSystem(given), { do: 'prepare clone', fstype: 'xfs' });
  t.deepEqual(planFileSystem({ ...given, isFreshClone: false }), { do: 'nothing', fstype: 'xfs' });
});
