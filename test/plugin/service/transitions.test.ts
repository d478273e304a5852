/** What becomes of a transition whose caller does not wait for its end, on a fake guest. */
import test, { type ExecutionContext } from 'ava';
import { Fault, faultOf } from '../../../common/fault.ts';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { type PluginOptions, type PluginUnderTest, startPlugin } from '../fakes/plugin-under-test.ts';

const patient = new AbortController().signal;

interface Gated {
  readonly guest: FakeGuest;
  readonly plugin: PluginUnderTest;
  /** Resolves when the act begins. */
  readonly reached: Promise<unknown>;
  readonly open: () => void;
}

/** A guest in which the first act of this label waits for its gate. */
async function gatedAt(label: string, options: PluginOptions = {}): Promise<Gated> {
  const [reached, gate] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const guest = new FakeGuest(async (step) => {
    if (step !== label) return;
    reached.resolve(undefined);
    await gate.promise;
  });
  guest.addVolume('a@local');
  guest.addVolume('b@local');
  const plugin = await startPlugin(guest, options);
  return { guest, plugin, reached: reached.promise, open: () => gate.resolve(undefined) };
}

async function fault(t: ExecutionContext, work: Promise<unknown>): Promise<Fault> {
  return faultOf(await t.throwsAsync(work));
}

/** All microtasks that are due. */
async function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  setImmediate(resolve, undefined);
  await promise;
}

function overdue(): AbortController {
  return new AbortController();
}

const tooLate = new Fault('DeadlineExceeded', 'mounting a took longer than 1 s');

test('transitions: a Mount whose time is over while mkfs runs is told so, and its repeat finds the disk made', async (t) => {
  const { guest, plugin, reached, open } = await gatedAt('mkfs');
  const caller = overdue();
  const first = plugin.volumes.mount('a', 'x', caller.signal);
  await reached;
  caller.abort(tooLate);
  const refused = await fault(t, first);
  t.is(refused.code, 'Busy');
  t.regex(
    refused.message,
    /volume a@local: the mount took longer than its caller waits; .* ask again to wait for that/,
  );
  const again = plugin.volumes.mount('a', 'y', patient);
  open();
  t.is(await again, '/mnt/vmdk/local/a');
  t.is(guest.disks.get('a@local')?.timesFormatted, 1);
  await plugin.volumes.unmount('a', 'y');
  await plugin.idle();
  t.false(guest.disks.get('a@local')?.isAttached, 'the first one left no reference');
  t.deepEqual(guest.violations, []);
});

test('transitions: a Mount that nobody waits for any more is undone when it is through', async (t) => {
  const { guest, plugin, reached, open } = await gatedAt('mkfs');
  const caller = overdue();
  const mounting = plugin.volumes.mount('a', 'x', caller.signal);
  await reached;
  caller.abort(tooLate);
  await fault(t, mounting);
  open();
  await plugin.idle();
  t.false(guest.disks.get('a@local')?.isAttached);
  t.deepEqual([...plugin.held.values()], []);
  t.deepEqual(plugin.locks.report(), []);
  t.true(guest.disks.get('a@local')?.isFormattedInCatalog, 'what was done is reported');
});

test('transitions: work that ends when its caller’s time is over tells itself what became of it', async (t) => {
  const { guest, plugin, reached, open } = await gatedAt('remove acts');
  const { host } = guest;
  const call = host.call.bind(host);
  Object.assign(host, {
    call: (...args: Parameters<typeof call>) =>
      Promise.race([
        call(...args),
        new Promise((_, reject) => {
          args[2].addEventListener('abort', () => reject(new Fault('OutcomeUnknown', 'it may have been done')));
        }),
      ]),
  });
  const caller = overdue();
  const removing = plugin.volumes.remove('b', caller.signal);
  await reached;
  caller.abort(tooLate);
  t.is((await fault(t, removing)).code, 'OutcomeUnknown');
  open();
});

test('transitions: a Create whose time is over goes on, and its repeat joins it', async (t) => {
  const { plugin, reached, open } = await gatedAt('create acts');
  const caller = overdue();
  const first = plugin.volumes.create('c', {}, caller.signal);
  await reached;
  caller.abort(new Fault('DeadlineExceeded', 'creating c took longer than 1 s'));
  t.is((await fault(t, first)).code, 'Busy');
  const again = plugin.volumes.create('c', {}, patient);
  await turn();
  t.like(plugin.locks.report()[0], { key: 'volume:c@local', waiters: [{ what: 'create' }] });
  open();
  await again;
  t.is(plugin.volumes.get('c').Name, 'c');
});

test('transitions: a Create that waits for a service that is gone ends with its caller', async (t) => {
  const { guest, plugin, reached, open } = await gatedAt('create goes out', { isHostConnected: () => false });
  const signals: AbortSignal[] = [];
  const { host } = guest;
  const call = host.call.bind(host);
  Object.assign(guest.host, {
    call: (...args: Parameters<typeof call>) => (signals.push(args[2]), call(...args)),
  });
  const caller = overdue();
  const creating = plugin.volumes.create('c', {}, caller.signal);
  await reached;
  caller.abort(new Fault('DeadlineExceeded', 'creating c took longer than 1 s'));
  await fault(t, creating);
  t.true(signals.at(-1)?.aborted);
  open();
  await plugin.idle();
});

test('transitions: a Mount that waits in vain for its turn says what is under way', async (t) => {
  const { plugin, reached, open } = await gatedAt('mkfs');
  const first = plugin.volumes.mount('a', 'x', patient);
  await reached;
  const caller = overdue();
  const second = plugin.volumes.mount('a', 'y', caller.signal);
  caller.abort(tooLate);
  t.regex((await fault(t, second)).message, /volume a@local is busy with mount \(for \d+ s\)/);
  open();
  await first;
});

test('transitions: while one volume hangs, every other volume, and every read of this one, goes on', async (t) => {
  const { plugin, reached, open } = await gatedAt('mkfs');
  const hanging = plugin.volumes.mount('a', 'x', patient);
  await reached;
  await plugin.volumes.create('c', {}, patient);
  await plugin.volumes.remove('c', patient);
  t.is(plugin.volumes.get('a').Name, 'a');
  t.regex(plugin.volumes.list(), /"Name":"a"/);
  t.is(plugin.volumes.path('a'), '');
  open();
  await hanging;
});

test('transitions: an Unmount with Mounts behind it leaves the disk to them, and the last of them lets it go', async (t) => {
  const { guest, plugin } = await gatedAt('none');
  await plugin.volumes.mount('a', 'x', patient);
  guest.commandsSent.length = 0;
  const unmounting = plugin.volumes.unmount('a', 'x');
  const mounting = plugin.volumes.mount('a', 'y', patient);
  await Promise.all([unmounting, mounting]);
  await plugin.idle();
  t.deepEqual(guest.commandsSent, [], 'no detach and attach between');
  t.is(guest.disks.get('a@local')?.mountedAt, '/mnt/vmdk/local/a');
  const leaving = plugin.volumes.unmount('a', 'y');
  const hungUp = overdue();
  const late = plugin.volumes.mount('a', 'z', hungUp.signal);
  hungUp.abort(new Fault('Cancelled', 'the caller hung up'));
  await leaving;
  await fault(t, late);
  await plugin.idle();
  t.false(guest.disks.get('a@local')?.isAttached, 'a Mount that gave up its turn does not keep the disk here');
  t.deepEqual(guest.violations, []);
});

test('transitions: a Remove during a Mount waits for it, and is refused while the volume is used', async (t) => {
  const { guest, plugin, reached, open } = await gatedAt('mkfs');
  const mounting = plugin.volumes.mount('a', 'abcdef', patient);
  await reached;
  const removing = plugin.volumes.remove('a', patient);
  open();
  await mounting;
  t.regex((await fault(t, removing)).message, /volume a@local is mounted here by 1 mount\(s\) of Docker: abcdef/);
  t.truthy(guest.disks.get('a@local')?.mountedAt);
});

test('transitions: one mount ID on two volumes is two references', async (t) => {
  const { guest, plugin } = await gatedAt('none');
  await plugin.volumes.mount('a', 'x', patient);
  await plugin.volumes.mount('b', 'x', patient);
  await plugin.volumes.unmount('a', 'x');
  t.false(guest.disks.get('a@local')?.isAttached);
  t.truthy(guest.disks.get('b@local')?.mountedAt);
});
