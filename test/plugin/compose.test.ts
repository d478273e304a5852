/** The whole plugin in this process, as its main program composes it, against a service of the test's own. */
import test from 'ava';
import { silentLogger } from '../../common/logging.ts';
import { startPlugin } from '../../plugin/compose.ts';
import { pluginConfigSchema } from '../../plugin/config.ts';
import { openClient, startService } from '../native/channel/support/service.ts';
import { until } from '../native/channel/support/waiting.ts';
import { scratch } from '../native/support/scratch.ts';
import { getJson } from '../soak/get-json.ts';

test('plugin: health says that another plugin of this VM took the connection over', async (t) => {
  const place = await scratch(t);
  await using service = await startService();
  const socket = place.path('vmdk.sock');
  const folders = { stateDir: place.path('state'), mountRoot: place.path('mounts') };
  const config = pluginConfigSchema.parse({ ...folders, socket, dockerSocket: '' });
  const plugin = await startPlugin(
    config,
    service.address,
    silentLogger,
    new AbortController().signal,
    () => undefined,
  );
  t.teardown(() => plugin.close());
  const host = async (): Promise<unknown> => ((await getJson(socket, '/health')) as { host: unknown }).host;
  t.like(await host(), { isConnected: true, error: undefined });
  await using other = openClient(service);
  await until(() => other.isConnected);
  t.like(await host(), { isConnected: false, address: service.address });
  t.regex(JSON.stringify(await host()), /took over; if two plugins run in it, stop one of them/);
});
