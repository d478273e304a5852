import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { unlink } from 'node:fs/promises';
import test from 'ava';
import { listenOnSocket } from '../../common/unix-socket.ts';
import type { ServiceStatus } from '../../esx-service/service/status.ts';
import { never } from './support/commands.ts';
import { place, volumesOf } from './support/place.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { startRunning } from './support/running.ts';

const program = join(import.meta.dirname, '../../esx-service/vmdkops.ts');

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function vmdkops(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { out: '', err: '' };
  child.stdout.on('data', (chunk) => (texts.out += String(chunk)));
  child.stderr.on('data', (chunk) => (texts.err += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

test('vmdkops: volume ls is an aligned table with the archived product’s columns', async (t) => {
  const { client, adminSocket } = await startRunning(t, await place(t));
  await client('alpha').call('create', emptyDisk('db'), never);
  await client('beta').call('create', { ...emptyDisk('a much longer name'), access: 'read-only' }, never);
  await client('beta').call('attach', { name: 'db@local' }, never);
  const { code, out } = await vmdkops('--socket', adminSocket, 'volume', 'ls');
  t.is(code, 0);
  const [titles = '', ruler = '', first = '', second = '', ...more] = out.trimEnd().split('\n');
  t.deepEqual(more, []);
  t.deepEqual(titles.split(/ {2,}/), [
    ...['Volume', 'Datastore', 'VMGroup', 'Capacity', 'Used', 'Filesystem', 'Policy', 'Disk Format', 'Attached-to'],
    ...['Access', 'Attach-as', 'Created By', 'Created Date'],
  ]);
  t.regex(
    first,
    /^a much longer name +spare +_DEFAULT +8MB +0B +ext4 +N\/A +thin +detached +read-only +independent_persistent +beta +\d{4}-/,
  );
  t.regex(second, /^db +local .* beta +read-write /);
  const starts = [...ruler.matchAll(/(?<= |^)-+/g)].map(({ index }) => index);
  for (const row of [titles, first, second]) {
    for (const start of starts.slice(1))
      t.true(row[start - 1] === ' ' && row[start] !== ' ', `column ${start} of "${row}"`);
  }
});

test('vmdkops: columns can be chosen, and everything is there as JSON', async (t) => {
  const { client, adminSocket } = await startRunning(t, await place(t));
  await client('alpha').call('create', emptyDisk('db'), never);
  const chosen = await vmdkops('--socket', adminSocket, 'volume', 'ls', '-c', 'capacity,volume');
  t.is(chosen.out, 'Volume  Capacity\n------  --------\ndb      8MB\n');
  const json = await vmdkops('--socket', adminSocket, '--json', 'volume', 'ls');
  t.like((JSON.parse(json.out) as object[])[0], { name: 'db', sizeBytes: 8 * 1024 * 1024 });
  const inspected = await vmdkops('--socket', adminSocket, 'volume', 'inspect', 'db', 'db@local');
  t.is((JSON.parse(inspected.out) as object[]).length, 2);
});

test('vmdkops: status says how the service is; damaged volumes are warned of', async (t) => {
  const at = await place(t);
  const { client, adminSocket, service } = await startRunning(t, at);
  await client('alpha').call('create', emptyDisk('db'), never);
  await service.close();
  await unlink(join(volumesOf(at.path('local')), 'db-flat.vmdk'));
  await startRunning(t, at);
  const status = await vmdkops('--socket', adminSocket, 'status');
  t.is(status.code, 0);
  t.regex(status.out, /^Version: .*\nInstance: .*\nStarted: .*\nHypervisor: loop\nDatastore local: .*, 1 volumes$/m);
  t.regex(status.out, /^Problem: volume db@local cannot be used: its extent .* is missing; put it back$/m);
  t.like(JSON.parse((await vmdkops('--json', '--socket', adminSocket, 'status')).out), { hypervisor: 'loop' });
  const listed = await vmdkops('--socket', adminSocket, 'volume', 'ls');
  t.is(listed.code, 0);
  t.regex(listed.err, /^WARNING: volume db@local cannot be used/);
});

test('vmdkops: check says what it found and mended, and status keeps it', async (t) => {
  const at = await place(t);
  const { client, adminSocket } = await startRunning(t, at);
  await client('alpha').call('create', emptyDisk('db'), never);
  const before = await vmdkops('--socket', adminSocket, 'status');
  t.notRegex(before.out, /Last check/);
  const fine = await vmdkops('--socket', adminSocket, 'check');
  t.regex(fine.out, /^1 volumes are as they were remembered \(looked at in \d+ ms\)\n$/);
  await unlink(join(volumesOf(at.path('local')), 'db-flat.vmdk'));
  const found = await vmdkops('--socket', adminSocket, 'check');
  t.is(found.code, 0);
  t.regex(found.out, /^volume db@local cannot be used: its extent .* is missing; put it back\n$/);
  const { out } = await vmdkops('--socket', adminSocket, 'status');
  t.regex(out, /^Last check: \d{4}-.*, 1 volumes in \d+ ms, 1 findings$/m);
  t.regex(out, /^Found by the last check: volume db@local cannot be used/m);
  const json = await vmdkops('--socket', adminSocket, '--json', 'check');
  t.like(JSON.parse(json.out), { volumes: 1, findings: [] });
});

test('vmdkops: status says who holds and who waits for what', async (t) => {
  const at = await place(t);
  const status: ServiceStatus = {
    version: '1',
    instanceId: 'i',
    startedAt: 'now',
    hypervisor: 'loop',
    datastores: [],
    vms: [],
    problems: [],
    leftovers: [],
    lastCheck: undefined,
    locks: [
      {
        key: 'volume:db@local',
        holders: [{ what: 'attach to VM alpha', mode: 'write', forMs: 12_345 }],
        waiters: [{ what: 'remove', mode: 'write', forMs: 50 }],
      },
    ],
  };
  const server = createServer((_request, response) => response.end(JSON.stringify(status)));
  await using _socket = await listenOnSocket(server, at.path('admin.sock'), { mode: 0o600 });
  const { out } = await vmdkops('--socket', at.path('admin.sock'), 'status');
  t.deepEqual(out.trimEnd().split('\n').slice(-2), [
    'Lock volume:db@local: held by attach to VM alpha (write, for 12.3 s)',
    'Lock volume:db@local: waited for by remove (write, for 0.1 s)',
  ]);
});

test('vmdkops: what fails is one line that begins with ERROR:, and exit code 2', async (t) => {
  const at = await place(t);
  const { adminSocket } = await startRunning(t, at);
  const missing = await vmdkops('--socket', adminSocket, 'volume', 'inspect', 'none');
  t.deepEqual(missing, { code: 2, out: '', err: 'ERROR: volume none@local does not exist\n' });
  const nobody = await vmdkops('--socket', at.path('nobody.sock'), 'status');
  t.is(nobody.code, 2);
  t.regex(nobody.err, /^ERROR: cannot reach the service at .*nobody\.sock: .*\n$/);
});

test('vmdkops: a service that answers something else is told as that', async (t) => {
  const at = await place(t);
  const server = createServer((_request, response) => response.end('<html>'));
  await using _socket = await listenOnSocket(server, at.path('odd.sock'), { mode: 0o600 });
  const odd = await vmdkops('--socket', at.path('odd.sock'), 'status');
  t.is(odd.code, 2);
  t.regex(odd.err, /^ERROR: the program at .*odd\.sock gives answers that are not understood/);
});

for (const args of [[], ['volume', 'fly'], ['volume', 'inspect'], ['volume', 'ls', '-c', 'colour'], ['--colour']]) {
  test(`vmdkops: wrong arguments (${args.join(' ') || 'none'}) end with exit code 3`, async (t) => {
    const { code, err } = await vmdkops(...args);
    t.is(code, 3);
    if (args.length > 1) t.regex(err, /^ERROR:/);
  });
}

test('vmdkops: help and version are no failures', async (t) => {
  t.is((await vmdkops('--help')).code, 0);
  t.regex((await vmdkops('--version')).out, /^\d+\.\d+\.\d+/);
});
