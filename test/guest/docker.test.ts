/**
 * Two virtual machines, each with a real dockerd and our plugin, and one service outside that plugs volumes into both:
 * what users do, and what ends under their hands. The tests run in this order; the last one kills a machine.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { CommandResult } from '../../scripts/command.ts';
import { images } from '../docker/harness/images.ts';
import { daemonProgram } from '../esx-service/support/daemon.ts';
import { AttachedContainer } from './attached-container.ts';
import { DockerGuest } from './docker-guest.ts';
import { OwnedProcess } from './owned-process.ts';
import { servicePort } from './plugin-guest.ts';

const { serial } = test;

/** Of the start, and of each test; on two quiet processors each takes a fifth of it. */
const limitMs = 240_000;
/** Enough of a writer's lines to say that it goes on. */
const some = 3;

/**
 * Says the checksum of a file in the volume, which it makes if it is not there; then goes on writing the numbers that
 * others began, and says each when it is on the disk. Ends when a number is missing, or cannot be written.
 */
const writer = `
set -e
trap 'exit 0' TERM
cd /data
if [ ! -e file ]; then dd if=/dev/urandom of=file bs=64k count=32 2>/dev/null; touch numbers; sync file numbers .; fi
sha256sum file
awk '$1 != NR { exit 1 }' numbers
n=$(wc -l < numbers)
while :; do
  n=$((n + 1))
  echo $n >> numbers
  sync numbers
  echo $n
  usleep 300000
done`;

let folder: string;
let alpha: DockerGuest;
let beta: DockerGuest;
let service: OwnedProcess;
const owned = new AsyncDisposableStack();

test.before(async (t) => {
  t.timeout(limitMs);
  folder = await mkdtemp(join(tmpdir(), 'docker-guests-'));
  owned.defer(() => rm(folder, { recursive: true, force: true }));
  await configureService();
  service = startService();
  owned.defer(() => service[Symbol.asyncDispose]());
  alpha = owned.use(await DockerGuest.make(join(folder, 'alpha')));
  beta = owned.use(await DockerGuest.make(join(folder, 'beta')));
  // Both to their ends, so that none is still starting when the other's failure ends it.
  const started = await Promise.allSettled([alpha, beta].map(start));
  for (const outcome of started) if (outcome.status === 'rejected') throw outcome.reason;
});
test.after.always(async () => {
  await owned.disposeAsync();
});

/** The service knows each machine by its socket, which is the other end of the guest's CID 2, and reaches its QEMU. */
async function configureService(): Promise<void> {
  const datastore = join(folder, 'datastore');
  await mkdir(datastore);
  const vms = ['alpha', 'beta'].map((name) => ({ name, ...DockerGuest.socketsIn(join(folder, name), servicePort) }));
  const config = { hypervisor: 'qemu', datastores: { local: datastore }, vms, adminSocket: join(folder, 'admin') };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
}

function startService(): OwnedProcess {
  const started = new OwnedProcess([process.execPath, daemonProgram, '--config', join(folder, 'config.json')]);
  started.output.resume();
  return started;
}

async function start(machine: DockerGuest): Promise<void> {
  await machine.boot();
  await machine.importImage();
}

/** To be called first. What the daemons said is told when the test fails. */
function prepare(t: ExecutionContext): void {
  t.timeout(limitMs);
  t.teardown(() => {
    if (!t.passed) t.log(`alpha: ${alpha.output}\nbeta: ${beta.output}\nservice: ${service.complaints}`);
  });
}

async function create(machine: DockerGuest, volume: string): Promise<void> {
  await machine.mustDocker('volume', 'create', '--driver', 'vmdk', '--opt', 'size=100mb', volume);
}

/** In a network namespace of its own, dockerd would start itself once more for each container. There is no network here. */
function runArguments(volume: string, ...more: readonly string[]): readonly string[] {
  return ['run', '--network', 'host', '--volume', `${volume}:/data`, ...more, images.plain];
}

/** A container that has the volume's name. Returns when it writes. */
async function write(
  t: ExecutionContext,
  machine: DockerGuest,
  volume: string,
  ...more: readonly string[]
): Promise<AttachedContainer> {
  const args = [...runArguments(volume, '--name', volume, ...more), 'sh', '-c', writer];
  return attach(t, machine, args);
}

async function attach(t: ExecutionContext, machine: DockerGuest, args: readonly string[]): Promise<AttachedContainer> {
  const container = new AttachedContainer(machine.commandOf(args));
  t.teardown(() => container[Symbol.asyncDispose]());
  await container.more(some);
  return container;
}

function tryToUse(machine: DockerGuest, volume: string): Promise<CommandResult> {
  return machine.docker([...runArguments(volume, '--rm'), 'true']);
}

function lastOf(container: AttachedContainer): number {
  return Number(container.lines.at(-1));
}

/** The second container found the first one's file, and every number that the first one had said. */
function assertContinued(t: ExecutionContext, first: AttachedContainer, second: AttachedContainer): void {
  t.regex(first.lines[0] ?? '', /^[0-9a-f]{64} /);
  t.is(second.lines[0], first.lines[0]);
  t.true(Number(second.lines[1]) > lastOf(first));
}

/** As the plugin tells it to Docker. */
async function statusOf(machine: DockerGuest, volume: string): Promise<Readonly<Record<string, unknown>>> {
  const status = await machine.mustDocker('volume', 'inspect', '--format', '{{json .Status}}', volume);
  return JSON.parse(status) as Record<string, unknown>;
}

serial(
  'docker in two guests: a volume is seen by both, and used by one after the other, with all its data',
  async (t) => {
    prepare(t);
    await create(alpha, 'moving');
    const first = await write(t, alpha, 'moving');
    t.regex(await beta.mustDocker('volume', 'ls'), /vmdk +moving/);
    const refused = await tryToUse(beta, 'moving');
    t.is(refused.code, 125);
    t.regex(refused.stderr, /moving@local .*alpha/);
    await alpha.mustDocker('stop', 'moving');
    const second = await write(t, beta, 'moving');
    assertContinued(t, first, second);
    await beta.mustDocker('stop', 'moving');
  },
);

serial(
  'docker in two guests: containers write on while the service is dead, and it takes up what it finds',
  async (t) => {
    prepare(t);
    await Promise.all([create(alpha, 'left'), create(beta, 'right')]);
    const [left, right] = await Promise.all([write(t, alpha, 'left'), write(t, beta, 'right')]);
    await service[Symbol.asyncDispose]();
    await Promise.all([left.more(some), right.more(some)]);
    service = startService();
    const [shared, refused] = await Promise.all([tryToUse(alpha, 'left'), tryToUse(beta, 'left')]);
    t.is(shared.stderr, '');
    t.regex(refused.stderr, /left@local .*alpha/);
    await Promise.all([left.more(some), right.more(some)]);
    t.like(await statusOf(alpha, 'left'), { references: 1, status: 'attached' });
    t.like(await statusOf(beta, 'right'), { references: 1, status: 'attached' });
    await Promise.all([alpha.mustDocker('stop', 'left'), beta.mustDocker('stop', 'right')]);
    t.like(await statusOf(alpha, 'left'), { references: 0, status: 'detached' });
    t.like(await statusOf(beta, 'right'), { references: 0, status: 'detached' });
    assertContinued(t, left, await write(t, beta, 'left'));
    await beta.mustDocker('stop', 'left');
  },
);

serial('docker in two guests: a killed machine’s volume goes on elsewhere, and its return harms nobody', async (t) => {
  prepare(t);
  await create(alpha, 'survivor');
  const victim = await write(t, alpha, 'survivor', '--restart', 'always');
  // With it what dockerd knows of the container, so that it would start it again.
  await alpha.guest.mustRun('sync');
  await alpha.kill();
  const begun = performance.now();
  const heir = await write(t, beta, 'survivor');
  t.log(`written elsewhere ${Math.round(performance.now() - begun)} ms after the death of its holder`);
  assertContinued(t, victim, heir);
  t.regex(await beta.guest.mustRun('dmesg | grep EXT4-fs'), /recovery complete/);
  await alpha.boot();
  const state = await alpha.mustDocker('inspect', '--format', '{{.State.Status}}: {{.State.Error}}', 'survivor');
  t.regex(state, /^exited: .*survivor@local .*beta/);
  t.regex((await alpha.docker(['start', 'survivor'])).stderr, /survivor@local .*beta/);
  t.is(await alpha.guest.mustRun('ls /sys/class/scsi_disk'), '');
  t.like(await statusOf(alpha, 'survivor'), { references: 0, 'attached to VM': 'beta' });
  await heir.more(some);
  t.like(await statusOf(beta, 'survivor'), { references: 1, status: 'attached' });
  await beta.mustDocker('stop', 'survivor');
  assertContinued(t, heir, await attach(t, alpha, ['start', '--attach', 'survivor']));
  t.like(await statusOf(alpha, 'survivor'), { references: 1, status: 'attached' });
  await alpha.mustDocker('stop', 'survivor');
});
