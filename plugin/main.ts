/** `vmdk-plugin`: Docker's volume driver. Starts, and stops in order when it is asked to. */
import process from 'node:process';
import { loadConfig } from '../common/config.ts';
import { type DaemonStart, runDaemon } from '../common/daemon.ts';
import { supervisorOf } from '../native/service-manager.ts';
import { claimPlaces, startPlugin } from './compose.ts';
import { pluginConfigFile, pluginConfigSchema } from './config.ts';
import { startEmbeddedService } from './embedded.ts';

/** Set in the managed plugin's own configuration alone. */
const isManagedPlugin = process.env['DOCKER_PLUGIN'] === 'managed';

await runDaemon('vmdk-plugin', supervisorOf(process.env, process.pid), start, { isManagedPlugin });

async function start({ signal, createLogger, status }: DaemonStart): Promise<{ close(): Promise<void> }> {
  const config = await loadConfig(pluginConfigSchema, {
    defaultFile: pluginConfigFile,
    args: process.argv.slice(2),
    env: process.env,
  });
  const logger = createLogger(config.logLevel);
  await using opened = new AsyncDisposableStack();
  await claimPlaces(config, opened);
  let address = config.service;
  if (config.embedded) {
    const service = await startEmbeddedService(config, logger);
    opened.defer(() => service.close());
    ({ address } = service);
  }
  const plugin = await startPlugin(config, address, logger, signal, status, { isManagedPlugin });
  opened.defer(() => plugin.close());
  const stack = opened.move();
  return { close: () => stack.disposeAsync() };
}
