/** What every hypervisor must do, run on each with real disks. */
import { open, rename } from 'node:fs/promises';
import type { ExecutionContext, TestFn } from 'ava';
import { newDiskUuid } from '../../../common/disk-uuid.ts';
import type { Attachment, Vm } from '../../../esx-service/core/holders.ts';
import type { Change, Disk, Hypervisor, Outcome } from '../../../esx-service/ports/hypervisor.ts';
import type { Device } from '../../../native/channel/contract.ts';
import { never, vms } from './commands.ts';
import { mebibyte, type Place, place } from './place.ts';

export interface HypervisorUnderTest {
  readonly hypervisor: Hypervisor;
  /** Another one over the same VMs, as after the service was killed and started again. */
  readonly again: () => Promise<Hypervisor>;
  /** Of an attached disk, as the VM sees it. */
  readonly sizeBytesOf: (vm: Vm, device: Device) => Promise<number>;
}

export const [alpha = { id: '', name: '' }, beta = alpha] = vms;

export async function diskIn(at: Place, name: string): Promise<Disk> {
  const path = at.path(name);
  await using file = await open(path, 'wx');
  await file.truncate(4 * mebibyte);
  const { dev, ino } = await file.stat();
  const uuid = newDiskUuid(`00000000-0000-4000-8000-${ino.toString(16).padStart(12, '0')}`);
  return { uuid, extent: { diskId: `${dev}:${ino}`, path, offsetBytes: 0, sizeBytes: 4 * mebibyte } };
}

export function attachOf(disk: Disk, isReadOnly = false): Change {
  return { do: 'attach', disk, isReadOnly };
}

export function deviceOf(outcome: Outcome | undefined): Device {
  if (outcome && 'device' in outcome) return outcome.device;
  throw outcome?.fault ?? new Error('no outcome');
}

export async function attachTo(hypervisor: Hypervisor, vm: Vm, disk: Disk, isReadOnly = false): Promise<Device> {
  return deviceOf((await hypervisor.reconfigure(vm, [attachOf(disk, isReadOnly)], never))[0]);
}

export async function detachFrom(hypervisor: Hypervisor, vm: Vm, disk: Disk, device: Device): Promise<Device> {
  return deviceOf((await hypervisor.reconfigure(vm, [{ do: 'detach', disk, device }], never))[0]);
}

export async function heldOf(hypervisor: Hypervisor, ...disks: readonly Disk[]): Promise<readonly Attachment[]> {
  const all = await hypervisor.attachments(never);
  return disks.flatMap(({ extent }) => all.filter(({ diskId }) => diskId === extent.diskId));
}

/** @param test of the file that runs it */
export function hypervisorContract(
  test: TestFn,
  name: string,
  start: (t: ExecutionContext, at: Place) => Promise<HypervisorUnderTest>,
): void {
  const promise = (
    title: string,
    check: (t: ExecutionContext, under: HypervisorUnderTest, at: Place) => Promise<void>,
  ) =>
    test.serial(`${name}: ${title}`, async (t) => {
      const at = await place(t);
      await check(t, await start(t, at), at);
    });

  promise('what is attached is told with its VM, its device and its mode', async (t, { hypervisor }, at) => {
    const [mine, theirs] = [await diskIn(at, 'mine'), await diskIn(at, 'theirs')];
    const first = await attachTo(hypervisor, alpha, mine);
    const second = await attachTo(hypervisor, beta, theirs, true);
    const [one, two, ...more] = await heldOf(hypervisor, mine, theirs);
    t.like(one, { path: mine.extent.path, device: first, isReadOnly: false, holder: { vm: alpha } });
    t.like(two, { path: theirs.extent.path, device: second, isReadOnly: true, holder: { vm: beta } });
    t.deepEqual(more, []);
  });

  promise('changes have one outcome each, in their order, and one that fails harms no other', async (t, under, at) => {
    const { hypervisor } = under;
    const [first, second] = [await diskIn(at, 'first'), await diskIn(at, 'second')];
    const lost = await diskIn(at, 'lost');
    await rename(lost.extent.path, at.path('elsewhere'));
    const changes = [attachOf(first), attachOf(lost), attachOf(second, true)];
    const outcomes = await hypervisor.reconfigure(alpha, changes, never);
    t.deepEqual(
      outcomes.map((outcome) => 'device' in outcome),
      [true, false, true],
    );
    const held = await heldOf(hypervisor, first, lost, second);
    t.deepEqual(
      held.map(({ isReadOnly }) => isReadOnly),
      [false, true],
    );
    t.deepEqual(
      held.map(({ device }) => device),
      [deviceOf(outcomes[0]), deviceOf(outcomes[2])],
    );
  });

  promise('what is detached can be attached to another VM at once', async (t, { hypervisor }, at) => {
    const disk = await diskIn(at, 'disk');
    const device = await attachTo(hypervisor, alpha, disk);
    t.deepEqual(await detachFrom(hypervisor, alpha, disk, device), device);
    t.deepEqual(await heldOf(hypervisor, disk), []);
    await attachTo(hypervisor, beta, disk);
    t.like(await heldOf(hypervisor, disk), [{ holder: { vm: beta } }]);
  });

  promise('detaching what is not attached any more succeeds', async (t, { hypervisor }, at) => {
    const disk = await diskIn(at, 'disk');
    const device = await attachTo(hypervisor, alpha, disk);
    await detachFrom(hypervisor, alpha, disk, device);
    t.deepEqual(await detachFrom(hypervisor, alpha, disk, device), device);
  });

  promise('a detach that comes late never takes the device from whoever has it now', async (t, under, at) => {
    const { hypervisor } = under;
    const [disk, other] = [await diskIn(at, 'disk'), await diskIn(at, 'other')];
    const former = await attachTo(hypervisor, alpha, disk);
    await detachFrom(hypervisor, alpha, disk, former);
    // Takes the former place, so that the disk gets another one.
    const taken = await attachTo(hypervisor, alpha, other);
    const device = await attachTo(hypervisor, alpha, disk);
    t.notDeepEqual(device, former);
    t.deepEqual(await detachFrom(hypervisor, alpha, disk, former), former);
    t.like(await heldOf(hypervisor, disk, other), [{ device }, { device: taken }]);
  });

  promise('a disk is as long as its volume says, whatever its file', async (t, { hypervisor, sizeBytesOf }, at) => {
    const { uuid, extent } = await diskIn(at, 'disk');
    const disk = { uuid, extent: { ...extent, offsetBytes: mebibyte, sizeBytes: 2 * mebibyte } };
    const device = await attachTo(hypervisor, alpha, disk);
    t.is(await sizeBytesOf(alpha, device), 2 * mebibyte);
    t.like(await heldOf(hypervisor, disk), [{ device, holder: { vm: alpha } }]);
  });

  promise('what is attached is still told when its file has lost its name', async (t, { hypervisor }, at) => {
    const disk = await diskIn(at, 'disk');
    const device = await attachTo(hypervisor, alpha, disk);
    await rename(disk.extent.path, at.path('renamed'));
    t.like(await heldOf(hypervisor, disk), [{ device, holder: { vm: alpha } }]);
    await detachFrom(hypervisor, alpha, disk, device);
    t.deepEqual(await heldOf(hypervisor, disk), []);
  });

  promise('another one over the same VMs tells the same, and detaches it', async (t, under, at) => {
    const { hypervisor, again } = under;
    const [first, second] = [await diskIn(at, 'first'), await diskIn(at, 'second')];
    const device = await attachTo(hypervisor, alpha, first);
    await attachTo(hypervisor, beta, second, true);
    const before = await heldOf(hypervisor, first, second);
    const next = await again();
    t.deepEqual(await heldOf(next, first, second), before);
    await detachFrom(next, alpha, first, device);
    t.like(await heldOf(next, first, second), [{ holder: { vm: beta } }]);
  });

  promise('what its caller gave up before it was sent is not done', async (t, { hypervisor }, at) => {
    const disk = await diskIn(at, 'disk');
    const spent = AbortSignal.abort(new Error('too late'));
    const asked = hypervisor.reconfigure(alpha, [attachOf(disk)], spent);
    const outcomes = await asked.catch(() => []);
    t.false(outcomes.some((outcome) => 'device' in outcome));
    t.deepEqual(await heldOf(hypervisor, disk), []);
  });

  promise('a subscription to power events may be ended twice', (t, { hypervisor }) => {
    const subscription = hypervisor.watchPower(() => undefined);
    t.notThrows(() => {
      subscription[Symbol.dispose]();
      subscription[Symbol.dispose]();
    });
    return Promise.resolve();
  });
}

/** Resolves when the VM is told to be off, or that its disks may be others, once. */
export function nextOff(hypervisor: Hypervisor): Promise<Vm> {
  const { promise, resolve } = Promise.withResolvers<Vm>();
  const subscription = hypervisor.watchPower((vm) => {
    subscription[Symbol.dispose]();
    resolve(vm);
  });
  return promise;
}
