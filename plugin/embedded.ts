/**
 * The embedded mode: the service runs in the plugin's process, with loop devices for a hypervisor and one datastore.
 * The two still meet only on the channel, over a Unix socket.
 */
import { join } from 'node:path';
import type { Logger } from '../common/logging.ts';
import { startService } from '../esx-service/compose.ts';
import { serviceConfigSchema } from '../esx-service/config.ts';
import type { PluginConfig } from './config.ts';

export interface EmbeddedService {
  readonly address: string;
  close(): Promise<void>;
}

export async function startEmbeddedService(config: PluginConfig, logger: Logger): Promise<EmbeddedService> {
  const socket = join(config.stateDir, 'service.sock');
  const service = await startService(
    serviceConfigSchema.parse({
      hypervisor: 'loop',
      datastores: { local: config.datastore },
      vms: [{ name: 'this-machine', socket }],
      adminSocket: config.adminSocket,
      logLevel: config.logLevel,
    }),
    { logger: logger.child({ part: 'service' }) },
  );
  return { address: `unix://${socket}`, close: () => service.close() };
}
