/**
 * The service's configuration: every key is also a flag and an environment variable (see `common/config.ts`). What
 * passes is consistent: names are unique whatever their case, and every default datastore is one of the datastores.
 */
import * as z from 'zod';
import { messageOf } from '../common/fault.ts';
import { logLevels } from '../common/logging.ts';
import { type DatastoreName, parseDatastoreName } from '../common/names.ts';

export const serviceConfigFile = '/etc/docker-volume-vmdk/esx-service.json';

const path = z.string().startsWith('/', 'must be an absolute path');
const datastoreName = z.string().transform((text, context): DatastoreName => {
  try {
    return parseDatastoreName(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
    return z.NEVER;
  }
});

const vm = z.strictObject({
  name: z.string().min(1).max(80),
  /** Whoever connects to this socket is this VM. */
  socket: path,
  defaultDatastore: z.string().optional(),
});

export const serviceConfigSchema = z
  .strictObject({
    /** `loop`: disks become loop devices of this machine. */
    hypervisor: z.literal('loop', 'allowed is "loop"').default('loop'),
    /** Name and folder of each. */
    datastores: z.record(datastoreName, path, 'must be an object of names and folders, such as {"local": "/srv/vmdk"}'),
    /** Where short names are; not needed when there is one datastore. */
    defaultDatastore: z.string().optional(),
    vms: z.array(vm, 'must be a list such as [{"name": "vm1", "socket": "/run/docker-volume-vmdk/vm1.sock"}]').min(1),
    adminSocket: path.default('/run/docker-volume-vmdk/admin.sock'),
    logLevel: z.enum(logLevels).default('info'),
    /** For one call that attaches or detaches disks; a call that takes longer is given up, and asked about. */
    reconfigureTimeoutMs: z.number().int().min(100).max(3_600_000).default(60_000),
    /** How often the volumes are compared with what is attached and with what the datastores hold. */
    checkIntervalMs: z.number().int().min(1_000).max(86_400_000).default(300_000),
  })
  .superRefine((config, context) => {
    const refuse = (keys: readonly (string | number)[], message: string): void => {
      context.addIssue({ code: 'custom', path: [...keys], message });
    };
    const names = Object.keys(config.datastores);
    if (names.length === 0) refuse(['datastores'], 'must name at least one datastore');
    const twin = twinIn(names.map((name) => name.toLowerCase()));
    if (twin !== undefined)
      refuse(['datastores'], `names the datastore ${twin} twice; the case of letters makes no difference`);
    if (names.length > 1 && config.defaultDatastore === undefined) {
      refuse(['defaultDatastore'], `is needed when there are several datastores; allowed are ${names.join(', ')}`);
    }
    const checkDefault = (keys: readonly (string | number)[], wanted: string | undefined): void => {
      if (wanted !== undefined && !names.some((name) => name.toLowerCase() === wanted.toLowerCase())) {
        refuse(keys, `is no datastore; allowed are ${names.join(', ')}`);
      }
    };
    checkDefault(['defaultDatastore'], config.defaultDatastore);
    for (const [index, { defaultDatastore }] of config.vms.entries()) {
      checkDefault(['vms', index, 'defaultDatastore'], defaultDatastore);
    }
    const sameName = twinIn(config.vms.map(({ name }) => name));
    if (sameName !== undefined) refuse(['vms'], `names the VM ${sameName} twice`);
    const sockets = [...config.vms.map(({ socket }) => socket), config.adminSocket];
    const sameSocket = twinIn(sockets);
    if (sameSocket !== undefined) refuse(['vms'], `uses the socket ${sameSocket} twice`);
  });

export type ServiceConfig = Readonly<z.infer<typeof serviceConfigSchema>>;

function twinIn(texts: readonly string[]): string | undefined {
  return texts.find((text, place) => texts.indexOf(text) !== place);
}

/** The datastore of a VM's short names, spelled as its own key. */
export function defaultDatastoreOf(config: ServiceConfig, wanted: string | undefined): string {
  const names = Object.keys(config.datastores);
  const name = wanted ?? config.defaultDatastore;
  return names.find((candidate) => candidate.toLowerCase() === name?.toLowerCase()) ?? names[0] ?? '';
}
