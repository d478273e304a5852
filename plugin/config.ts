/** The plugin's configuration: every key is also a flag and an environment variable (see `common/config.ts`). */
import * as z from 'zod';
import { messageOf } from '../common/fault.ts';
import { logLevels } from '../common/logging.ts';
import { parseDialAddress } from '../native/channel/addresses.ts';

const path = z.string().startsWith('/', 'must be an absolute path');
const address = z.string().superRefine((text, context) => {
  try {
    parseDialAddress(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
  }
});
const milliseconds = z.number().int().min(100).max(3_600_000);

export const pluginConfigFile = '/etc/docker-volume-vmdk/plugin.json';

export const pluginConfigSchema = z.strictObject({
  embedded: z
    .boolean()
    .default(false)
    .describe('Runs the service in the same process, with loop devices for a hypervisor: nothing else is needed.'),
  service: address
    .default('vsock://2:1019')
    .describe('Where the service is: `vsock://CID:PORT` or `unix:///path`. Not used when embedded.'),
  socket: path.default('/run/docker/plugins/vmdk.sock').describe("Docker finds the driver by this socket's name."),
  mountRoot: path.default('/mnt/vmdk').describe('The folder below which volumes are mounted.'),
  stateDir: path
    .default('/var/lib/docker-volume-vmdk/plugin')
    .describe('The folder of the record of references, which is of use only until the next boot.'),
  datastore: path
    .default('/var/lib/docker-volume-vmdk/datastore')
    .describe('The folder of the one datastore, when embedded.'),
  adminSocket: path.default('/run/docker-volume-vmdk/admin.sock').describe('Where `vmdkops` asks, when embedded.'),
  logLevel: z.enum(logLevels).default('info').describe('Events below this level are not logged.'),
  maxInFlight: z
    .number()
    .int()
    .min(1)
    .max(256)
    .default(64)
    .describe('Commands on the way at once; 1 is strict lock-step.'),
  createTimeoutMs: milliseconds.default(110_000).describe('Time limit of a create; Docker waits 120 s itself.'),
  mountTimeoutMs: milliseconds.default(100_000).describe('Time limit of a mount; Docker waits 120 s itself.'),
  requestTimeoutMs: milliseconds
    .default(40_000)
    .describe('Time limit of every other request; Docker waits 60 s itself.'),
  prepareTimeoutMs: milliseconds
    .default(1_800_000)
    .describe(
      "For making a disk ready: its mkfs, or a clone's new identity. Who waited longer finds it done when asking again.",
    ),
  sweepGraceMs: milliseconds
    .default(300_000)
    .describe('For how long nobody may have used a volume whose Unmount never came before it is let go.'),
  dockerSocket: path
    .or(z.literal(''))
    .default('/var/run/docker.sock')
    .describe("Docker's API, which is asked which containers use a volume; empty when it is not to be asked."),
  driverName: z.string().min(1).default('vmdk').describe('The name by which Docker knows this driver.'),
  releaseTimeoutMs: milliseconds.default(15_000).describe('For taking a disk back: its unmount and detach.'),
});
export type PluginConfig = Readonly<z.infer<typeof pluginConfigSchema>>;
