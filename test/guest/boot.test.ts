/** The test guest itself. One guest lives at a time: the last but one test ends it. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import { killIfAlive, processTree, untilEnded } from '../docker/harness/processes.ts';
import { Guest } from './guest.ts';

let guest: Guest;

test.before(async () => {
  guest = await Guest.boot();
});
test.after.always(async () => {
  await guest[Symbol.asyncDispose]();
});

test.serial('guest: a command gives its output, its errors and its exit code', async (t) => {
  t.deepEqual(await guest.run('echo out; echo err >&2; exit 7'), { code: 7, stdout: 'out\n', stderr: 'err\n' });
  t.is((await guest.run('kill -9 $$')).code, 256 + 9);
});

test.serial('guest: commands run side by side, and what is given to one is what it reads', async (t) => {
  const large = Buffer.alloc(2 * 1024 * 1024, 'x');
  const [waiting, counted] = await Promise.all([
    guest.mustRun('until [ -e /tmp/go ]; do usleep 10000; done; echo gone'),
    guest.mustRun('wc -c; touch /tmp/go', { input: large }),
  ]);
  t.is(waiting, 'gone\n');
  t.is(Number(counted), large.length);
});

test.serial('guest: what is copied in arrives byte for byte', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
  await guest.copyIn(bytes, '/tmp/copied');
  const digest = await guest.mustRun('sha256sum < /tmp/copied');
  t.is(digest.split(' ')[0], createHash('sha256').update(bytes).digest('hex'));
});

test.serial('guest: a command that takes too long is killed with all that it started', async (t) => {
  await t.throwsAsync(guest.run('sleep 1234 & sleep 1234', { timeoutMs: 200 }), { message: /took longer/ });
  await guest.mustRun('while pidof sleep; do usleep 10000; done');
});

test.serial(
  'guest: it has our Node, the product and its native library, a vsock device and a bus for disks',
  async (t) => {
    t.is(await guest.mustRun('node -p process.version'), `${process.version}\n`);
    t.regex((await guest.run('/vmdk/bin/vmdk-plugin --no-such-flag')).stderr, /flag --no-such-flag is unknown/);
    t.is(await guest.mustRun('cat /sys/class/scsi_host/host0/proc_name'), 'vmw_pvscsi\n');
    await guest.mustRun('test -c /dev/vsock');
  },
);

test.serial('guest: its monitor answers', async (t) => {
  const socket = connect(guest.qmpSocket);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  t.regex(String((await lines.next()).value), /^\{"QMP"/);
  socket.destroy();
});

test.serial('guest: who waits for one that has died is told so, with the end of its console', async (t) => {
  await t.throwsAsync(guest.run('echo last words > /dev/console; poweroff -f'), {
    message: /QEMU has ended[^]*last words/,
  });
  await t.throwsAsync(guest.run('true'), { message: /QEMU has ended/ });
});

test.serial('guest: when its owner is killed, nothing of it goes on running', async (t) => {
  const script = `
    import { Guest } from ${JSON.stringify(join(import.meta.dirname, 'guest.ts'))};
    await Guest.boot();
    console.log('booted');
  `;
  const folder = await mkdtemp(join(tmpdir(), 'guest-owner-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const owner = spawn(process.execPath, ['--input-type=module-typescript', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  t.teardown(() => owner.kill('SIGKILL'));
  t.is(String(((await once(owner.stdout, 'data')) as [Buffer])[0]), 'booted\n');
  const children = (await processTree((pid) => Promise.resolve(pid === owner.pid))).filter((pid) => pid !== owner.pid);
  t.teardown(() => children.forEach(killIfAlive));
  t.true(children.length >= 2, 'QEMU and its vsock device');
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  await t.notThrowsAsync(untilEnded(children, 10_000));
});
