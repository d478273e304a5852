/** The plugin's configuration: every key is also a flag and an environment variable (see `common/config.ts`). */
import * as z from 'zod';
import { logLevels } from '../common/logging.ts';

const path = z.string().startsWith('/', 'must be an absolute path');
const milliseconds = z.number().int().min(100).max(3_600_000);

export const pluginConfigFile = '/etc/docker-volume-vmdk/plugin.json';

export const pluginConfigSchema = z.strictObject({
  /** Runs the service in the same process, with loop devices for a hypervisor: nothing else is needed. */
  embedded: z.boolean().default(false),
  /** Where the service is: `vsock://CID:PORT` or `unix:///path`. Not used when embedded. */
  service: z.string().default('vsock://2:1019'),
  /** Docker finds the driver by this socket's name. */
  socket: path.default('/run/docker/plugins/vmdk.sock'),
  mountRoot: path.default('/mnt/vmdk'),
  /** The record of references; of use only until the next boot. */
  stateDir: path.default('/var/lib/docker-volume-vmdk/plugin'),
  /** The folder of the one datastore, when embedded. */
  datastore: path.default('/var/lib/docker-volume-vmdk/datastore'),
  /** Where `vmdkops` asks, when embedded. */
  adminSocket: path.default('/run/docker-volume-vmdk/admin.sock'),
  logLevel: z.enum(logLevels).default('info'),
  /** Commands on the way at once; 1 is strict lock-step. */
  maxInFlight: z.number().int().min(1).max(256).default(64),
  /** Time limits; Docker's own are 120 s for create and mount, 60 s for the rest. */
  createTimeoutMs: milliseconds.default(110_000),
  mountTimeoutMs: milliseconds.default(100_000),
  requestTimeoutMs: milliseconds.default(40_000),
  /** For making a disk ready: its mkfs, or a clone's new identity. Who waited longer finds it done when asking again. */
  prepareTimeoutMs: milliseconds.default(1_800_000),
  /** For how long nobody may have used a volume whose Unmount never came before it is let go. */
  sweepGraceMs: milliseconds.default(300_000),
  /** Docker's API, which is asked which containers use a volume; empty when it is not to be asked. */
  dockerSocket: path.or(z.literal('')).default('/var/run/docker.sock'),
  /** The name by which Docker knows this driver. */
  driverName: z.string().min(1).default('vmdk'),
  /** For taking a disk back: its unmount and detach. */
  releaseTimeoutMs: milliseconds.default(15_000),
});
export type PluginConfig = Readonly<z.infer<typeof pluginConfigSchema>>;
