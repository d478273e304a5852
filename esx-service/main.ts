/** `vmdkopsd`: the host's daemon. Starts, and stops in order when it is asked to. */
import process from 'node:process';
import { loadConfig } from '../common/config.ts';
import { runDaemon } from '../common/daemon.ts';
import { supervisorOf } from '../native/service-manager.ts';
import { startService } from './compose.ts';
import { serviceConfigFile, serviceConfigSchema } from './config.ts';

await runDaemon('vmdkopsd', supervisorOf(process.env, process.pid), async ({ createLogger }) => {
  const config = await loadConfig(serviceConfigSchema, {
    defaultFile: serviceConfigFile,
    args: process.argv.slice(2),
    env: process.env,
  });
  return await startService(config, { logger: createLogger(config.logLevel), createsFolders: false });
});
