import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { KeyedLock } from '../../../common/keyed-lock.ts';
import { silentLogger } from '../../../common/logging.ts';
import { newDiskUuid } from '../../../common/disk-uuid.ts';
import type { Vm } from '../../../esx-service/core/holders.ts';
import type { Change, Outcome } from '../../../esx-service/ports/hypervisor.ts';
import { Reconfigurations } from '../../../esx-service/service/reconfigurations.ts';
import type { Device } from '../../../native/channel/contract.ts';
import { until } from '../../native/channel/support/waiting.ts';
import { FakeHypervisor, type Gate } from '../fakes/fake-hypervisor.ts';
import { never, refused, vms } from '../support/commands.ts';

const [alpha = { id: '', name: '' }, beta = alpha] = vms;
const uuid = newDiskUuid('a1b2c3d4-e5f6-4789-8abc-def012345678');

function attachOf(path: string): Change {
  const extent = { diskId: path, path, offsetBytes: 0, sizeBytes: 512 };
  return { do: 'attach', disk: { uuid, extent }, isReadOnly: false };
}

function start(timeoutMs = 60_000): {
  readonly hypervisor: FakeHypervisor;
  readonly locks: KeyedLock;
  readonly changes: Reconfigurations;
  readonly attach: (path: string, vm?: Vm, signal?: AbortSignal) => Promise<Device>;
} {
  const hypervisor = new FakeHypervisor(vms);
  const locks = new KeyedLock();
  const changes = new Reconfigurations({ hypervisor, locks, logger: silentLogger, timeoutMs });
  const attach = (path: string, vm = alpha, signal = never): Promise<Device> =>
    changes.change(vm, attachOf(path), signal);
  return { hypervisor, locks, changes, attach };
}

/** Makes a change and keeps it under way until the gate is opened. */
async function underWay(
  { hypervisor, attach }: ReturnType<typeof start>,
  signal = never,
): Promise<{ readonly gate: Gate; readonly first: Promise<Device> }> {
  const gate = hypervisor.hold();
  const first = attach('first', alpha, signal);
  await until(() => hypervisor.atWork.get('alpha') === 1);
  return { gate, first };
}

function pathsOf(hypervisor: FakeHypervisor): string[] {
  return hypervisor.calls.map(({ changes }) => changes.map(({ disk }) => disk.extent.path).join(' '));
}

test('reconfigurations, fake hypervisor: what comes while a VM is called for goes with the next call, one at a time', async (t) => {
  const started = start();
  const { hypervisor, locks, changes, attach } = started;
  const { gate, first } = await underWay(started);
  const all = Array.from({ length: 31 }, (_, number) => attach(`d${number}`));
  await until(() => locks.waitersOf('vm', 'alpha').length === 31);
  gate.open();
  const devices = await Promise.all([first, ...all]);
  t.deepEqual(
    hypervisor.calls.map((call) => call.changes.length),
    [1, 31],
  );
  t.is(new Set(devices.map((device) => JSON.stringify(device))).size, 32);
  t.is(hypervisor.mostAtOnce, 1);
  await until(() => changes.size + locks.size === 0);
});

test('reconfigurations, fake hypervisor: each change gets the outcome of its own disk', async (t) => {
  const { hypervisor, attach } = start();
  await attach('taken', beta);
  const gate = hypervisor.hold();
  const [first, refusedOne, third] = [attach('a'), attach('taken'), attach('c')];
  gate.open();
  t.like(await first, { unit: 1 });
  await refused(t, refusedOne, 'VolumeInUse', 'VM beta');
  t.like(await third, { unit: 2 });
});

test('reconfigurations, fake hypervisor: one VM does not wait for another', async (t) => {
  const { hypervisor, attach } = start();
  const gate = hypervisor.hold({ vm: 'alpha' });
  const slow = attach('a');
  await t.notThrowsAsync(attach('b', beta));
  gate.open();
  await slow;
});

test('reconfigurations, fake hypervisor: of changes that are refused together, only those with a bad disk fail', async (t) => {
  const started = start();
  const { hypervisor, locks, changes, attach } = started;
  hypervisor.breakDisk('bad');
  const { gate, first } = await underWay(started);
  const together = ['a', 'bad', 'b'].map((path) => attach(path));
  await until(() => locks.waitersOf('vm', 'alpha').length === 3);
  gate.open();
  await first;
  const results = await Promise.allSettled(together);
  t.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  t.deepEqual(pathsOf(hypervisor), ['first', 'a bad b', 'a', 'bad', 'b']);
  t.is(hypervisor.mostAtOnce, 1);
  await until(() => changes.size + locks.size === 0);
});

test('reconfigurations, fake hypervisor: a change that was refused by itself is not tried twice', async (t) => {
  const { hypervisor, attach } = start();
  hypervisor.breakDisk('bad');
  await refused(t, attach('bad'), 'DamagedVolume', 'bad');
  t.is(hypervisor.calls.length, 1);
});

for (const [what, error] of [
  ['a fault that is unsure', new Fault('OutcomeUnknown', 'connection lost')],
  ['an error that is no fault', new TypeError('connection lost')],
] as const) {
  test(`reconfigurations, fake hypervisor: after ${what} nothing is tried again, and no change knows its outcome`, async (t) => {
    const started = start();
    const { hypervisor, locks, attach } = started;
    const { gate, first } = await underWay(started);
    const together = ['a', 'b'].map((path) => attach(path));
    await until(() => locks.waitersOf('vm', 'alpha').length === 2);
    hypervisor.beforeAnswer = () => hypervisor.failNext(error);
    gate.open();
    await first;
    await Promise.all(together.map((work) => refused(t, work, 'OutcomeUnknown', 'connection lost')));
    t.deepEqual(pathsOf(hypervisor), ['first', 'a b']);
  });
}

test('reconfigurations, fake hypervisor: a change of which the answer says nothing is unsure', async (t) => {
  const { hypervisor, attach } = start();
  const reconfigure = hypervisor.reconfigure.bind(hypervisor);
  hypervisor.reconfigure = async (...args): Promise<readonly Outcome[]> => (await reconfigure(...args)).slice(1);
  await refused(t, attach('a'), 'OutcomeUnknown', 'alpha');
});

test('reconfigurations, fake hypervisor: a change given up while it waits is never made, and harms no other', async (t) => {
  const started = start();
  const { hypervisor, locks, changes, attach } = started;
  const { gate, first } = await underWay(started);
  const giveUp = new AbortController();
  const givenUp = attach('given up', alpha, giveUp.signal);
  const last = attach('last');
  await until(() => locks.waitersOf('vm', 'alpha').length === 2);
  giveUp.abort(new Fault('Cancelled', 'enough'));
  await refused(t, givenUp, 'Cancelled', 'enough');
  gate.open();
  await Promise.all([first, last]);
  t.deepEqual(pathsOf(hypervisor), ['first', 'last']);
  await until(() => changes.size + locks.size === 0);
});

test('reconfigurations, fake hypervisor: a change whose time is over before it is begun is busy, not unsure', async (t) => {
  const started = start();
  const { hypervisor, attach } = started;
  const { gate, first } = await underWay(started);
  const giveUp = new AbortController();
  const late = attach('late', alpha, giveUp.signal);
  giveUp.abort(new Fault('DeadlineExceeded', 'too long'));
  await refused(t, late, 'Busy', 'alpha', 'attach of first');
  gate.open();
  await first;
  t.is(hypervisor.calls.length, 1);
});

test('reconfigurations, fake hypervisor: a change given up under way goes on to its end', async (t) => {
  const started = start();
  const giveUp = new AbortController();
  const { gate, first } = await underWay(started, giveUp.signal);
  giveUp.abort(new Fault('Cancelled', 'enough'));
  gate.open();
  t.like(await first, { unit: 0 });
});

test('reconfigurations, fake hypervisor: a change given up under way is not tried again when all were refused', async (t) => {
  const started = start();
  const { hypervisor, locks, changes, attach } = started;
  hypervisor.breakDisk('bad');
  const { gate, first } = await underWay(started);
  const giveUp = new AbortController();
  const [bad, other] = [attach('bad'), attach('other', alpha, giveUp.signal)];
  const next = hypervisor.hold();
  gate.open();
  await first;
  await until(() => hypervisor.calls.length === 2);
  giveUp.abort(new Fault('Cancelled', 'enough'));
  next.open();
  await Promise.all([refused(t, bad, 'DamagedVolume'), refused(t, other, 'Cancelled', 'enough')]);
  t.deepEqual(pathsOf(hypervisor), ['first', 'bad other', 'bad']);
  await until(() => changes.size + locks.size === 0);
});

test('reconfigurations, fake hypervisor: a call whose time is over is aborted, and its changes are unsure', async (t) => {
  const { hypervisor, changes, attach } = start(20);
  const gate = hypervisor.hold();
  await refused(t, attach('a'), 'DeadlineExceeded', 'VM alpha', '0.02 s');
  t.is(changes.size, 0);
  t.is(hypervisor.atWork.get('alpha'), 0);
  gate.open();
  await t.notThrowsAsync(attach('a'));
});

test('reconfigurations, fake hypervisor: a call that does not even end when it is aborted holds up nobody', async (t) => {
  const { hypervisor, changes, locks, attach } = start(20);
  const gate = hypervisor.hold({ hearsAbort: false });
  const both = [attach('a'), attach('b')];
  await Promise.all(both.map((work) => refused(t, work, 'DeadlineExceeded', 'VM alpha')));
  hypervisor.hold().open();
  await t.notThrowsAsync(attach('c'));
  t.is(locks.size, 0);
  t.like(changes.unsettled('a', undefined), { do: 'attach', vm: alpha });
  t.like(changes.unsettled('a', beta), { do: 'attach' });
  t.is(changes.unsettled('a', alpha), undefined, 'its effect was seen');
  t.is(changes.unsettled('a', undefined), undefined);
  gate.open();
  await until(() => changes.size === 0);
});

test('reconfigurations, fake hypervisor: whoever holds the VM’s lock cannot wait for a change of it', async (t) => {
  const { locks, attach } = start();
  const held = locks.hold([{ class: 'vm', name: 'alpha', mode: 'write' }], { signal: never, what: 'test' }, () =>
    attach('a'),
  );
  await refused(t, held, 'Internal', 'vm:alpha');
  t.is(locks.size, 0);
});

test('reconfigurations, fake hypervisor: where a VM takes many calls at once, no change waits for another', async (t) => {
  const { hypervisor, locks, attach } = start();
  Object.assign(hypervisor, { hasOneTaskPerVm: false });
  const gate = hypervisor.hold();
  const all = ['a', 'b', 'c'].map((path) => attach(path));
  await until(() => hypervisor.atWork.get('alpha') === 3);
  t.is(locks.size, 0);
  gate.open();
  await Promise.all(all);
  t.deepEqual(pathsOf(hypervisor), ['a', 'b', 'c']);
});
