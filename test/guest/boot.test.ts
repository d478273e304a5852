/** The test guest itself; the last test ends it. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import test from 'ava';
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
