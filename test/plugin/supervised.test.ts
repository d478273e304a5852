/** The plugin's program under a service manager: what that is told, and when. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import test, { type ExecutionContext } from 'ava';
import { Daemon } from '../docker/harness/daemon.ts';
import { NotifyListener } from '../native/support/notify-listener.ts';
import { type Scratch, scratch } from '../native/support/scratch.ts';

const root = join(import.meta.dirname, '../..');

async function supervised(t: ExecutionContext, place: Scratch, ...args: readonly string[]) {
  const address = place.path('notify.sock');
  const listener = await NotifyListener.open(t, address);
  const places = ['socket', 'state-dir', 'mount-root', 'datastore', 'admin-socket'].flatMap((flag) => [
    `--${flag}`,
    place.path(flag),
  ]);
  const plugin = await Daemon.start({
    name: 'the plugin',
    command: [join(root, 'bin/vmdk-plugin'), '--docker-socket', '', ...places, ...args],
    env: { ...process.env, NOTIFY_SOCKET: address },
    logFile: place.path('log'),
  });
  t.teardown(() => plugin.stop());
  return { listener, plugin };
}

test('supervised plugin: it is ready when its socket listens, and says that it stops', async (t) => {
  const place = await scratch(t);
  const { listener, plugin } = await supervised(t, place, '--embedded');
  await listener.until((messages) => messages.includes('READY=1'));
  const client = connect(place.path('socket'));
  await once(client, 'connect');
  client.destroy();
  t.true(listener.messages.some((message) => message.startsWith(`STATUS=serving Docker at ${place.path('socket')}`)));
  t.is(await plugin.stop(), 'code 0');
  await listener.until((messages) => messages.includes('STOPPING=1'));
});

test('supervised plugin: while the service is out of reach it is not ready, and its status says where it looked and why in vain', async (t) => {
  const place = await scratch(t);
  const service = `unix://${place.path('nobody.sock')}`;
  const { listener, plugin } = await supervised(t, place, '--service', service);
  const isReason = (message: string): boolean => message.startsWith(`STATUS=waiting for the service at ${service}: `);
  await listener.until((messages) => messages.some(isReason));
  t.regex(listener.messages.find(isReason) ?? '', /nobody\.sock.*(ENOENT|no such file)/i);
  t.is(await plugin.stop(), 'code 0');
  await listener.until((messages) => messages.includes('STOPPING=1'));
  t.false(listener.messages.includes('READY=1'));
});

test('supervised plugin: a start that fails leaves its reason as the status', async (t) => {
  const place = await scratch(t);
  const { listener, plugin } = await supervised(t, place, '--mount-root', 'not-absolute');
  t.is(await plugin.ended, 'code 1');
  await listener.until((messages) => messages.some((message) => /^STATUS=.*mountRoot.*absolute/.test(message)));
  t.false(listener.messages.includes('READY=1'));
});
