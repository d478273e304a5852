/** What a service manager is told, over its real protocol. */
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import test from 'ava';
import { supervisorOf } from '../../native/service-manager.ts';
import { runCommand } from '../../scripts/command.ts';
import { NotifyListener } from './support/notify-listener.ts';
import { scratch } from './support/scratch.ts';

test('service manager: it is told in its words, on a socket with a path and on one with an abstract name', async (t) => {
  const place = await scratch(t);
  for (const address of [place.path('notify.sock'), `@vmdk-test-${process.pid}`]) {
    const listener = await NotifyListener.open(t, address);
    using supervisor = supervisorOf({ NOTIFY_SOCKET: address }, process.pid);
    supervisor.status('two\nlines');
    supervisor.status('two lines');
    supervisor.ready();
    supervisor.stopping();
    await listener.until(({ length }) => length >= 3);
    t.deepEqual(listener.messages, ['STATUS=two lines', 'READY=1', 'STOPPING=1']);
  }
});

test('service manager: what is meant for this process is hidden from those that it starts', (t) => {
  const environment = { NOTIFY_SOCKET: '/nobody', WATCHDOG_USEC: '0', WATCHDOG_PID: '1', PATH: '/bin' };
  supervisorOf(environment, process.pid);
  t.deepEqual(environment as object, { PATH: '/bin' });
});

test('service manager: nobody who listens, and no manager at all, are no failure', (t) => {
  for (const NOTIFY_SOCKET of ['/no/such/socket', 'neither', `/${'long'.repeat(40)}`, '', undefined]) {
    using supervisor = supervisorOf({ NOTIFY_SOCKET }, process.pid);
    t.notThrows(() => {
      supervisor.ready();
      supervisor.status('well');
      supervisor.stopping();
    });
  }
});

test('service manager: what its full queue did not take reaches it later, in order', async (t) => {
  const place = await scratch(t);
  const address = place.path('notify.sock');
  const listener = await NotifyListener.open(t, address);
  const queueLength = Number(await readFile('/proc/sys/net/unix/max_dgram_qlen', 'utf8'));
  using supervisor = supervisorOf({ NOTIFY_SOCKET: address }, process.pid);
  listener.signal('SIGSTOP');
  const sentences = Array.from({ length: queueLength + 30 }, (_, index) => `step ${index}`);
  for (const sentence of sentences) supervisor.status(sentence);
  listener.signal('SIGCONT');
  await listener.until(({ length }) => length >= sentences.length);
  t.deepEqual(
    listener.messages,
    sentences.map((sentence) => `STATUS=${sentence}`),
  );
});

test('service manager: the watchdog is fed by the event loop, and not while that hangs', async (t) => {
  const place = await scratch(t);
  const address = place.path('notify.sock');
  const listener = await NotifyListener.open(t, address);
  const env = { ...process.env, NOTIFY_SOCKET: address, WATCHDOG_USEC: '40000' };
  const hung = new URL('support/hung.ts', import.meta.url).pathname;
  const { code, stderr } = await runCommand([process.execPath, hung], { env });
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  await listener.until((messages) => messages.includes('STATUS=goes on'));
  const { messages } = listener;
  const before = messages.slice(0, messages.indexOf('STATUS=hangs'));
  const hanging = messages.slice(before.length + 1, messages.indexOf('STATUS=goes on'));
  t.true(before.filter((message) => message === 'WATCHDOG=1').length >= 3);
  t.deepEqual(hanging, []);
});

test('service manager: a watchdog that is meant for another process is not fed', async (t) => {
  const place = await scratch(t);
  const address = place.path('notify.sock');
  const listener = await NotifyListener.open(t, address);
  const env = { ...process.env, NOTIFY_SOCKET: address, WATCHDOG_USEC: '40000', WATCHDOG_PID: '1' };
  const hung = new URL('support/hung.ts', import.meta.url).pathname;
  await runCommand([process.execPath, hung], { env });
  await listener.until((messages) => messages.includes('STATUS=goes on'));
  t.deepEqual(listener.messages, ['STATUS=hangs', 'STATUS=goes on']);
});
