/** VMs whose QMP has not answered since the service was started, on real QEMUs without an operating system. */
import { randomUUID } from 'node:crypto';
import { access, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { hello } from '../../../esx-service/service/commands/hello.ts';
import { statusOf } from '../../../esx-service/service/status.ts';
import { type Commands, never, refused, startCommands } from '../support/commands.ts';
import { alpha, nextOff } from '../support/hypervisor-contract.ts';
import { place, volumesOf } from '../support/place.ts';
import { relayTo } from '../support/qmp-relay.ts';
import { openQemus, type Qemu, startQemu } from '../support/qemu.ts';

const { serial } = test;

interface Started {
  readonly commands: Commands;
  /** Of VM alpha, which stands still and holds `mine`. */
  readonly qemu: Qemu;
  /** What a create that was killed left. */
  readonly litter: string;
  /** Resolves when all that the service does about alpha's answer is done. */
  readonly heard: () => Promise<void>;
}

/** A service that was started anew while alpha does not answer; beta holds `theirs`, and nobody `free`. */
async function startWithSilence(t: ExecutionContext): Promise<Started> {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  await startQemu(t, at, { name: 'beta' });
  const qmpOf = (name: string): string => at.path(`${name}.qmp`);
  const datastores = { local: at.path('local') };
  const former = await openQemus(t, qmpOf);
  const before = await startCommands(t, { datastores, hypervisor: former });
  for (const name of ['mine', 'theirs', 'free']) await before.create(name);
  await before.attach('mine');
  await before.attach('theirs', { vm: 'beta' });
  await before.end();
  former[Symbol.dispose]();
  const litter = `${volumesOf(datastores.local)}/.${randomUUID()}.tmp`;
  await writeFile(litter, '');
  qemu.signal('SIGSTOP');
  const hypervisor = await openQemus(t, qmpOf, { answerLimitMs: 500, greetingLimitMs: 1_000 });
  const commands = await startCommands(t, { datastores, hypervisor });
  const told = nextOff(hypervisor);
  const heard = async (): Promise<void> => {
    await told;
    await commands.inFlight.idle(never);
  };
  return { commands, qemu, litter, heard };
}

function greet({ service }: Commands, vm: string): readonly string[] {
  const args = { versions: [3], clientVersion: 'test', bootId: 'boot', saidAtUs: 0 };
  return hello(service, { vm: { id: vm, name: vm }, defaultDatastore: 'local' }, args).attached;
}

serial(
  'qemu service: it starts beside a VM that does not answer, and refuses only what that VM may hold',
  async (t) => {
    const { commands, qemu, litter, heard } = await startWithSilence(t);
    const names = ['cannot be known who holds', 'VM alpha does not answer', qemu.qmp];
    for (const name of ['mine', 'free']) {
      await refused(t, commands.attach(name, { vm: 'beta' }), 'HostUnavailable', `${name}@local`, ...names);
      await refused(t, commands.remove(name), 'HostUnavailable', `${name}@local`, ...names);
    }
    await refused(t, commands.clone('copy', 'free'), 'HostUnavailable', ...names);
    await refused(t, commands.detach('mine'), 'HostUnavailable', 'mine@local', ...names);
    t.throws(() => greet(commands, 'alpha'), {
      message: /not known yet what VM alpha holds: VM alpha does not answer/,
    });
    t.deepEqual(greet(commands, 'beta'), ['theirs@local']);
    const problems = statusOf(commands.service, new Date(), [], undefined).vms.map(({ problem }) => problem);
    t.regex(problems[0] ?? '', /VM alpha does not answer/);
    t.is(problems[1], undefined);
    await commands.attach('theirs', { vm: 'beta' });
    await commands.detach('theirs', {}, { vm: 'beta' });
    await commands.create('new');
    await commands.attach('new', { vm: 'beta' });
    const [finding = '', ...more] = await commands.check();
    t.true(
      finding.startsWith(`it is not known what is attached: VM alpha does not answer at its QMP socket ${qemu.qmp};`),
    );
    t.deepEqual(more, []);
    t.regex(commands.leftovers.join(), /what a crash left was not looked for: VM alpha does not answer/);
    await t.notThrowsAsync(access(litter), 'nothing is swept that might be in use');
    qemu.signal('SIGCONT');
    await heard();
    t.deepEqual(greet(commands, 'alpha'), ['mine@local']);
    t.like(commands.get('mine').attached, { vm: alpha });
    await refused(t, commands.attach('mine', { vm: 'beta' }), 'VolumeInUse', 'VM alpha');
    await commands.attach('free', { vm: 'beta' });
    t.is(commands.service.doubts.size, 0);
  },
);

serial('qemu service: a VM that falls silent while it is asked is heard once it answers', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  const relay = await relayTo(t, qemu.qmp, at.path('relay.qmp'));
  const datastores = { local: at.path('local') };
  void relay.keepAnswersTo('query-block');
  const vms = [{ vm: alpha, qmp: relay.path }];
  const hypervisor = await openQemus(t, () => relay.path, { vms, answerLimitMs: 500 });
  const commands = await startCommands(t, { datastores, hypervisor });
  t.throws(() => greet(commands, 'alpha'), { message: /VM alpha does not answer/ });
  const told = nextOff(hypervisor);
  relay.passAll();
  await told;
  await commands.inFlight.idle(never);
  t.deepEqual(greet(commands, 'alpha'), []);
});

serial('qemu service: what a VM that never answered held is free when it is killed', async (t) => {
  const { commands, qemu, heard } = await startWithSilence(t);
  await qemu.kill();
  await heard();
  await commands.attach('mine', { vm: 'beta' });
  t.deepEqual(greet(commands, 'alpha'), []);
});
