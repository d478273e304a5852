/**
 * The plugin in a guest, the service on this machine, and real vsock in between. The service attaches disks to this
 * machine (it has loop devices for a hypervisor), so nothing is mounted here.
 */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { deadline } from '../../common/deadline.ts';
import { daemon, kill } from '../esx-service/support/daemon.ts';
import { filesOf, type Place, place } from '../esx-service/support/place.ts';
import { startRunning } from '../esx-service/support/running.ts';
import { Guest } from './guest.ts';
import { GuestProgram } from './guest-program.ts';

const port = 1019;
const bridgePort = 7000;
const closedPort = 1020;
const answerMs = 30_000;
const pluginSocket = '/run/docker/plugins/vmdk.sock';

let guest: Guest;

test.before(async () => {
  guest = await Guest.boot();
  await GuestProgram.start(guest, `node /vmdk/inside/bridge.js ${bridgePort} ${pluginSocket}`, 'listening');
});
test.after.always(async () => {
  await guest[Symbol.asyncDispose]();
});

type Question = readonly [verb: string, body: unknown];

/** As Docker does, one after another; from outside, so that no program has to be started for it in the guest. */
async function ask(...questions: readonly Question[]): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const [verb, body] of questions) {
    const socket = await guest.vsock.dial(bridgePort);
    using limit = deadline(answerMs, verb);
    const { signal } = limit;
    const asked = request({ path: `/VolumeDriver.${verb}`, method: 'POST', createConnection: () => socket, signal });
    asked.end(JSON.stringify(body));
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    answers.push(await json(answer));
    socket.destroy();
  }
  return answers;
}

/** The service knows the guest by its socket, which is the other end of the guest's CID 2. */
function configFor(): Record<string, unknown> {
  return { vms: [{ name: 'guest', socket: guest.vsock.socketOf(port) }] };
}

/** The plugin with its own defaults, which name `vsock://2:1019`; it ends with the test. */
async function startPlugin(t: ExecutionContext): Promise<void> {
  const plugin = await GuestProgram.start(guest, `/vmdk/bin/vmdk-plugin --docker-socket ''`, 'plugin ready');
  t.teardown(async () => {
    await plugin[Symbol.asyncDispose]();
    if (!t.passed) t.log(plugin.output);
  });
}

const datastore = (at: Place): string => at.path('local');

test.serial('plugin in a guest: it creates, lists, tells and removes volumes over vsock', async (t) => {
  const at = await place(t);
  await daemon(t, at, configFor());
  await startPlugin(t);
  const answers = await ask(
    ['Create', { Name: 'db', Opts: { size: '100mb' } }],
    ['Create', { Name: 'db', Opts: { size: 'huge' } }],
    ['List', {}],
    ['Get', { Name: 'db' }],
    ['Get', { Name: 'none' }],
  );
  t.like(answers[0], { Err: '' });
  t.regex((answers[1] as { Err: string }).Err, /size/);
  t.like(answers[2], { Err: '', Volumes: [{ Name: 'db' }] });
  t.like(answers[3], { Err: '', Volume: { Name: 'db' } });
  t.regex((answers[4] as { Err: string }).Err, /does not exist/);
  t.deepEqual(await filesOf(datastore(at)), ['db-flat.vmdk', 'db.vmdk', 'db.vmdk.json']);
  t.like(await ask(['Remove', { Name: 'db' }], ['List', {}]), [{ Err: '' }, { Err: '', Volumes: [] }]);
  t.deepEqual(await filesOf(datastore(at)), []);
  const sources = guest.vsock.connections.filter((made) => made.port === port && made.isConnected);
  t.true(sources.length > 0 && sources.every(({ source }) => source < 1024));
});

test.serial('plugin in a guest: a service that was killed is found again when it is back', async (t) => {
  const at = await place(t);
  const service = await daemon(t, at, configFor());
  await startPlugin(t);
  t.like(await ask(['Create', { Name: 'before', Opts: {} }]), [{ Err: '' }]);
  await kill(service);
  t.like(await ask(['List', {}]), [{ Volumes: [{ Name: 'before' }] }]);
  const again = await daemon(t, at, configFor());
  t.like(await ask(['Create', { Name: 'after', Opts: {} }], ['Remove', { Name: 'before' }]), [
    { Err: '' },
    { Err: '' },
  ]);
  t.like(await ask(['List', {}]), [{ Err: '', Volumes: [{ Name: 'after' }] }]);
  again.kill('SIGTERM');
  await once(again, 'exit');
});

test.serial('plugin in a guest: a service that cannot be reached is told by its address', async (t) => {
  const program = `/vmdk/bin/vmdk-plugin --docker-socket '' --service vsock://2:${closedPort}`;
  await using _plugin = await GuestProgram.start(guest, program, `cannot reach vsock://2:${closedPort}`);
  t.true(guest.vsock.connections.some((made) => made.port === closedPort && !made.isConnected));
});

test.serial('version 2 in a guest: a client that writes single bytes gets right answers over vsock', async (t) => {
  const at = await place(t);
  await startRunning(t, at, configFor());
  const requests = [
    '{"cmd":"create","details":{"Name":"old","Opts":{"size":"8mb","fstype":"ext4"}},"version":"2"}',
    '{"cmd":"list","details":{"Name":""},"version":"2"}',
    '{"cmd":"get","details":{"Name":"none"},"version":"2"}',
    '{"cmd":"remove","details":{"Name":"old"},"version":"2"}',
    '{"cmd":"list","details":{"Name":""},"version":"2"}',
  ];
  const input = Buffer.from(JSON.stringify(requests));
  const replies = JSON.parse(await guest.mustRun('node /vmdk/inside/version-2-bytes.js', { input })) as string[];
  t.is(replies[0], 'null');
  t.deepEqual(JSON.parse(replies[1] ?? ''), [{ Name: 'old@local', Attributes: {} }]);
  t.regex(replies[2] ?? '', /^\{"Error":".*does not exist.*"\}$/);
  t.is(replies[3], 'null');
  t.is(replies[4], '[]');
});
