/**
 * The plugin in a guest, the service on this machine, and real vsock in between. The service attaches disks to this
 * machine (it has loop devices for a hypervisor), so nothing is mounted here.
 */
import { once } from 'node:events';
import test from 'ava';
import { daemon, kill } from '../esx-service/support/daemon.ts';
import { filesOf, type Place, place } from '../esx-service/support/place.ts';
import { startRunning } from '../esx-service/support/running.ts';
import type { Guest } from './guest.ts';
import { GuestProgram } from './guest-program.ts';
import { askInTurn, bootPluginGuest, servicePort, startPlugin } from './plugin-guest.ts';

const closedPort = 1020;

let guest: Guest;

test.before(async () => {
  guest = await bootPluginGuest();
});
test.after.always(async () => {
  await guest[Symbol.asyncDispose]();
});

/** The service knows the guest by its socket, which is the other end of the guest's CID 2. */
function configFor(): Record<string, unknown> {
  return { vms: [{ name: 'guest', socket: guest.vsock.socketOf(servicePort) }] };
}

const datastore = (at: Place): string => at.path('local');

test.serial('plugin in a guest: it creates, lists, tells and removes volumes over vsock', async (t) => {
  const at = await place(t);
  await daemon(t, at, configFor());
  await startPlugin(t, guest);
  const answers = await askInTurn(
    guest,
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
  t.like(await askInTurn(guest, ['Remove', { Name: 'db' }], ['List', {}]), [{ Err: '' }, { Err: '', Volumes: [] }]);
  t.deepEqual(await filesOf(datastore(at)), []);
  const sources = guest.vsock.connections.filter((made) => made.port === servicePort && made.isConnected);
  t.true(sources.length > 0 && sources.every(({ source }) => source < 1024));
});

test.serial('plugin in a guest: a service that was killed is found again when it is back', async (t) => {
  const at = await place(t);
  const service = await daemon(t, at, configFor());
  await startPlugin(t, guest);
  t.like(await askInTurn(guest, ['Create', { Name: 'before', Opts: {} }]), [{ Err: '' }]);
  await kill(service);
  t.like(await askInTurn(guest, ['List', {}]), [{ Volumes: [{ Name: 'before' }] }]);
  const again = await daemon(t, at, configFor());
  t.like(await askInTurn(guest, ['Create', { Name: 'after', Opts: {} }], ['Remove', { Name: 'before' }]), [
    { Err: '' },
    { Err: '' },
  ]);
  t.like(await askInTurn(guest, ['List', {}]), [{ Err: '', Volumes: [{ Name: 'after' }] }]);
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
