/**
 * The plugin's volume operations under interleavings that a real kernel shows only by luck: fast-check's scheduler
 * decides who goes on at each wait, and acts fail or lose their answers on order. The guest is a fake that keeps count
 * of what would cost data.
 */
import test from 'ava';
import fc from 'fast-check';
import { Fault } from '../../../common/fault.ts';
import { allOf } from '../../../plugin/core/references.ts';
import { type Act, FakeGuest, type Trouble } from '../fakes/fake-guest.ts';
import { mountRoot, type PluginUnderTest, startPlugin } from '../fakes/plugin-under-test.ts';

const names = ['a@local', 'b@local'] as const;
type Name = (typeof names)[number];

/**
 * One use of a volume: by a container (Mount, then Unmount; its caller may hang up at some moment of the Mount), or by
 * somebody who creates or removes it.
 */
interface Use {
  readonly kind: 'run' | 'create' | 'remove';
  readonly volume: Name;
  readonly isShortName: boolean;
  readonly hangsUp: boolean;
}

const kind = fc.constantFrom('run', 'run', 'run', 'create', 'remove');
const use = fc.record({ kind, volume: fc.constantFrom(...names), isShortName: fc.boolean(), hangsUp: fc.boolean() });
const acts: readonly Act[] = ['create', 'remove', 'attach', 'detach', 'find', 'mkfs', 'mount', 'unmount'];
const troubles: readonly Trouble[] = ['refused', 'request lost', 'reply lost'];
const trouble = fc.record({ act: fc.constantFrom(...acts), trouble: fc.constantFrom(...troubles) });

interface Run {
  readonly guest: FakeGuest;
  readonly plugin: PluginUnderTest;
  /** IDs whose Mount was answered and whose Unmount was not asked yet. */
  readonly inUse: Map<Name, Set<string>>;
  readonly wrong: string[];
}

/** What must be true at every moment: whatever a container uses is mounted where it was told. */
function check({ guest, inUse, wrong }: Run): void {
  for (const [name, ids] of inUse) {
    const disk = guest.disks.get(name);
    const path = `${mountRoot}/local/${name.slice(0, 1)}`;
    if (ids.size > 0 && disk?.mountedAt !== path) wrong.push(`${name} is in use but not mounted at ${path}`);
  }
}

async function runUse(
  run: Run,
  { kind: what, volume, isShortName, hangsUp }: Use,
  id: string,
  s: fc.Scheduler,
): Promise<void> {
  const asked = isShortName ? volume.slice(0, 1) : volume;
  const caller = new AbortController();
  const ids = run.inUse.get(volume) ?? new Set();
  run.inUse.set(volume, ids);
  await s.schedule(Promise.resolve(), `start ${id}`);
  if (what !== 'run') {
    const { volumes } = run.plugin;
    const work = what === 'create' ? volumes.create(asked, {}, caller.signal) : volumes.remove(asked, caller.signal);
    await work.catch(() => undefined);
    check(run);
    return;
  }
  if (hangsUp) {
    void s.schedule(Promise.resolve(), `${id} hangs up`).then(() => {
      caller.abort(new Fault('Cancelled', 'the caller hung up'));
    });
  }
  try {
    await run.plugin.volumes.mount(asked, id, caller.signal);
  } catch {
    return;
  }
  ids.add(id);
  check(run);
  await s.schedule(Promise.resolve(), `${id} works`);
  check(run);
  ids.delete(id);
  await run.plugin.volumes.unmount(asked, id).catch(() => undefined);
}

async function play(
  uses: readonly Use[],
  failures: readonly { act: Act; trouble: Trouble }[],
  s: fc.Scheduler,
): Promise<Run> {
  const run = await playUntilIdle(uses, failures, s);
  run.guest.calm();
  await s.waitFor(run.plugin.recover());
  await settled(s);
  return run;
}

/** What nobody waits for, such as the questions about changes in doubt, would never be answered, and keep its timers. */
async function settled(s: fc.Scheduler): Promise<void> {
  await s.waitIdle();
}

async function playUntilIdle(
  uses: readonly Use[],
  failures: readonly { act: Act; trouble: Trouble }[],
  s: fc.Scheduler,
): Promise<Run> {
  const guest = new FakeGuest(async (label) => {
    await s.schedule(Promise.resolve(), label);
    check(run);
  });
  const run: Run = { guest, plugin: undefined as never, inUse: new Map(), wrong: [] };
  for (const name of names) guest.addVolume(name);
  const starting = startPlugin(guest);
  await s.waitFor(starting);
  Object.assign(run, { plugin: await starting });
  for (const failure of failures) guest.failNext(failure.act, failure.trouble);
  const all = Promise.all(uses.map((each, index) => runUse(run, each, `id${String(index)}`, s)));
  await s.waitFor(all);
  await s.waitFor(run.plugin.idle());
  return run;
}

test('volumes: concurrent mounts and unmounts keep exact references and leave nothing (vsphere-storage-for-docker #810)', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(use, { minLength: 1, maxLength: 8 }), fc.scheduler(), async (uses, s) => {
      const { guest, plugin, wrong } = await playUntilIdle(uses, [], s);
      await settled(s);
      t.deepEqual([...guest.violations, ...wrong], []);
      t.deepEqual(
        [...plugin.held.values()].flatMap(({ references }) => allOf(references)),
        [],
      );
      for (const disk of guest.disks.values()) {
        t.false(disk.isAttached);
        t.is(disk.mountedAt, undefined);
        t.true(disk.timesFormatted <= 1);
      }
      t.is(plugin.locks.size, 0);
      t.is(guest.folders.size, 0);
    }),
    { numRuns: 300 },
  );
});

test('volumes: failures and lost replies at any step lose no data, and a new session settles what they left', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(use, { minLength: 1, maxLength: 6 }),
      fc.array(trouble, { maxLength: 4 }),
      fc.scheduler(),
      async (uses, failures, s) => {
        const { guest, plugin, wrong } = await play(uses, failures, s);
        t.deepEqual([...guest.violations, ...wrong], []);
        t.deepEqual([...plugin.held.values()], []);
        for (const disk of guest.disks.values()) {
          t.false(disk.isAttached);
          t.is(disk.mountedAt, undefined);
          t.true(disk.timesFormatted <= 1);
        }
        t.is(plugin.locks.size, 0);
      },
    ),
    { numRuns: 500 },
  );
});

test('volumes: the second of two Mounts at once is answered only when the file system is mounted', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (s) => {
      const uses = Array.from({ length: 6 }, () => ({
        kind: 'run' as const,
        volume: names[0],
        isShortName: false,
        hangsUp: false,
      }));
      const { guest, wrong } = await play(uses, [], s);
      t.deepEqual([...guest.violations, ...wrong], []);
    }),
    { numRuns: 100 },
  );
});
