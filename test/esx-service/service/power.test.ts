import test, { type ExecutionContext } from 'ava';
import type { Logger } from '../../../common/logging.ts';
import { silentLogger } from '../../../common/logging.ts';
import type { FullName } from '../../../common/names.ts';
import { InFlight } from '../../../esx-service/service/in-flight.ts';
import { PowerWatch } from '../../../esx-service/service/power-watch.ts';
import { writeLock } from '../../../esx-service/service/service.ts';
import type { ChannelEvent } from '../../../native/channel/contract.ts';
import { until } from '../../native/channel/support/waiting.ts';
import { FakeHypervisor } from '../fakes/fake-hypervisor.ts';
import { type Commands, never, refused, startCommands, vms } from '../support/commands.ts';
import { place } from '../support/place.ts';

const [alpha = { id: '', name: '' }, beta = alpha] = vms;

interface Started {
  readonly commands: Commands;
  readonly hypervisor: FakeHypervisor;
  /** Who was told to hold something, change by change. */
  readonly published: (string | undefined)[];
  readonly logged: string[];
}

async function start(t: ExecutionContext, askTimeoutMs = 10_000): Promise<Started> {
  const hypervisor = new FakeHypervisor(vms);
  const at = await place(t);
  const logged: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (message) => void logged.push(message) };
  const datastores = { local: at.path('ds') };
  const commands = await startCommands(t, { datastores, hypervisor, logger, askTimeoutMs });
  await commands.create('db');
  const published: (string | undefined)[] = [];
  commands.service.catalog.watch((event: ChannelEvent) => {
    published.push(event.kind === 'changed' ? event.volume.attached?.vm.name : 'removed');
  });
  return { commands, hypervisor, published, logged };
}

function diskOf(commands: Commands, name: string): string | undefined {
  return commands.record(name)?.extent?.diskId;
}

async function settled({ service, inFlight }: Commands): Promise<void> {
  await inFlight.idle(never);
  await until(() => service.locks.size + service.power.size + service.reconfigurations.size === 0);
}

test('power, fake hypervisor: what a VM held is free when it goes off, and is told so', async (t) => {
  const { commands, hypervisor, published } = await start(t);
  for (const name of ['two', 'other']) await commands.create(name);
  for (const name of ['db', 'two']) await commands.attach(name);
  await commands.attach('other', { vm: 'beta' });
  published.length = 0;
  hypervisor.powerOff(alpha);
  await settled(commands);
  t.deepEqual(published, [undefined, undefined]);
  t.is(commands.get('db').attached, undefined);
  t.is(commands.get('other').attached?.vm.name, 'beta');
  t.is((await commands.attach('db', { vm: 'beta' })).volume.attached?.vm.name, 'beta');
});

test('power, fake hypervisor: a VM that goes off before the answer to its attach never gets the disk', async (t) => {
  const { commands, hypervisor, published } = await start(t);
  hypervisor.beforeAnswer = (vm) => hypervisor.powerOff(vm);
  await refused(t, commands.attach('db'), 'Cancelled', 'db@local', 'VM alpha', 'went off');
  await settled(commands);
  t.deepEqual(published, []);
  t.is(commands.get('db').attached, undefined);
  hypervisor.beforeAnswer = () => undefined;
  await t.notThrowsAsync(commands.attach('db', { vm: 'beta' }));
});

test('power, fake hypervisor: an attach that a VM asks for after it is on again is not taken for lost', async (t) => {
  const { commands, hypervisor } = await start(t);
  const gate = hypervisor.hold();
  const attached = commands.attach('db');
  await until(() => hypervisor.atWork.get('alpha') === 1);
  hypervisor.powerOff(alpha);
  gate.open();
  t.is((await attached).volume.attached?.vm.name, 'alpha');
  t.is(hypervisor.holderOf(diskOf(commands, 'db')), 'alpha');
  await settled(commands);
});

test('power, fake hypervisor: another VM that goes off does not concern an attach', async (t) => {
  const { commands, hypervisor } = await start(t);
  hypervisor.beforeAnswer = () => hypervisor.powerOff(beta);
  const before = hypervisor.timesAsked;
  await t.notThrowsAsync(commands.attach('db'));
  t.is(hypervisor.timesAsked, before);
});

test('power, fake hypervisor: a VM that goes off while its lost attach is asked about never gets the disk', async (t) => {
  const { commands, hypervisor, published } = await start(t);
  hypervisor.loseNextAnswer();
  const gate = hypervisor.holdAsking();
  const before = hypervisor.timesAsked;
  const attached = commands.attach('db');
  await until(() => hypervisor.timesAsked > before);
  hypervisor.powerOff(alpha);
  gate.open();
  await refused(t, attached, 'OutcomeUnknown', 'was not attached to VM alpha');
  await settled(commands);
  t.deepEqual(published, []);
});

test('power, fake hypervisor: a VM that goes off right after its attach was recorded loses the disk', async (t) => {
  const { commands, hypervisor, published } = await start(t);
  const stop = commands.service.catalog.watch(() => {
    stop();
    hypervisor.powerOff(alpha);
  });
  await commands.attach('db');
  await settled(commands);
  t.deepEqual(published, ['alpha', undefined]);
});

test('power, fake hypervisor: an event that is lost costs only a question when another VM wants the disk', async (t) => {
  const { commands, hypervisor } = await start(t);
  await commands.attach('db');
  hypervisor.powerOff(alpha, false);
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  t.is((await commands.attach('db', { vm: 'beta' })).volume.attached?.vm.name, 'beta');
});

test('power, fake hypervisor: neither the event nor the answer comes: asking decides', async (t) => {
  const { commands, hypervisor, published } = await start(t);
  hypervisor.loseNextAnswer();
  hypervisor.beforeAnswer = (vm) => hypervisor.powerOff(vm, false);
  await refused(t, commands.attach('db'), 'OutcomeUnknown', 'db@local');
  t.deepEqual(published, []);
  t.is(commands.service.doubts.size, 0);
});

test('power, fake hypervisor: volumes are looked at under their own locks, each alone', async (t) => {
  const { commands, hypervisor } = await start(t);
  await commands.create('two');
  for (const name of ['db', 'two']) await commands.attach(name);
  const over = Promise.withResolvers<undefined>();
  const options = { signal: never, what: 'test' };
  const held = commands.service.locks.hold([writeLock('db@local' as FullName)], options, () => over.promise);
  hypervisor.powerOff(alpha);
  await until(() => commands.get('two').attached === undefined);
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  t.regex(commands.service.locks.report()[0]?.waiters[0]?.what ?? '', /VM alpha, which went off/);
  over.resolve(undefined);
  await held;
  await settled(commands);
  t.is(commands.get('db').attached, undefined);
});

test('power, fake hypervisor: a VM that goes off within a call, under its lock, has its other disks freed', async (t) => {
  const { commands, hypervisor, logged } = await start(t);
  await commands.create('two');
  await commands.attach('db');
  hypervisor.beforeAnswer = (vm) => hypervisor.powerOff(vm);
  await refused(t, commands.attach('two'), 'Cancelled', 'went off');
  await settled(commands);
  t.is(commands.get('db').attached, undefined);
  t.false(logged.some((message) => message.includes('was not looked at')));
});

test('power, fake hypervisor: when it does not answer what is attached, that is logged, and asked at the next use', async (t) => {
  const { commands, hypervisor, logged } = await start(t, 20);
  await commands.attach('db');
  const gate = hypervisor.holdAsking();
  hypervisor.powerOff(alpha);
  await settled(commands);
  t.true(logged.includes('a volume of a VM that went off was not looked at'));
  t.is(commands.get('db').attached?.vm.name, 'alpha');
  gate.open();
  t.is((await commands.attach('db', { vm: 'beta' })).volume.attached?.vm.name, 'beta');
});

test('power, fake hypervisor: what is told before there is a catalog is not lost', async (t) => {
  const hypervisor = new FakeHypervisor(vms);
  const inFlight = new InFlight();
  const lookedAt: string[] = [];
  using power = PowerWatch.open({ hypervisor, inFlight, logger: silentLogger, timeoutMs: 1000 });
  hypervisor.powerOff(alpha);
  const note = async ({ name }: { readonly name: string }): Promise<void> => {
    lookedAt.push(name);
    await Promise.resolve();
  };
  power.start(note);
  t.is(inFlight.size, 1);
  hypervisor.powerOff(beta);
  await inFlight.idle(never);
  t.deepEqual(lookedAt, ['alpha', 'beta']);
});

test('power, fake hypervisor: at its end it gives up what it started, and is told nothing more', async (t) => {
  const hypervisor = new FakeHypervisor(vms);
  const inFlight = new InFlight();
  const power = PowerWatch.open({ hypervisor, inFlight, logger: silentLogger, timeoutMs: 60_000 });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  power.start((_vm, signal) => {
    signal.addEventListener('abort', () => resolve(undefined));
    return promise;
  });
  hypervisor.powerOff(alpha);
  power[Symbol.dispose]();
  await inFlight.idle(never);
  t.is(hypervisor.listeners, 0);
});
