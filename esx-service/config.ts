/**
 * The service's configuration: every key is also a flag and an environment variable (see `common/config.ts`). What
 * passes is consistent: names are unique whatever their case, and every default datastore is one of the datastores.
 */
import * as z from 'zod';
import { messageOf } from '../common/fault.ts';
import { logLevels } from '../common/logging.ts';
import { type DatastoreName, parseDatastoreName } from '../common/names.ts';
import { controllerKinds } from './core/scsi-slots.ts';

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

/** Lower ones have meanings of their own: the hypervisor, this machine, the host. */
const leastGuestContextId = 3;
const qemuOnly = 'is only for the hypervisor "qemu"';

const vm = z.strictObject({
  name: z.string().min(1).max(80).describe('The name by which messages and `docker volume inspect` call it.'),
  socket: path
    .optional()
    .describe('Whoever connects to this socket is this VM; needed unless the VM comes over vsock.'),
  defaultDatastore: z.string().optional().describe("Where this VM's short names are; else where those of all VMs are."),
  qmp: path.optional().describe('Its QMP socket; needed unless `qmpSockets` says where it is.'),
  uuid: z
    .uuid('must be a UUID such as "6c1d5f2e-8a4b-4c3d-9e2f-0a1b2c3d4e5f"')
    .optional()
    .describe('The UUID that its QEMU must have.'),
  contextId: z
    .number()
    .int()
    .min(leastGuestContextId)
    .max(0xffff_fffe)
    .optional()
    .describe('Its vsock address (CID), where its QEMU does not tell it.'),
});

const qmpSockets = path.regex(
  /^[^*]*\/[^*/]*\*[^*/]*$/,
  'must be a path with one star, in its last part, that stands for the name of the VM, such as "/run/qemu/*.qmp"',
);

export const serviceConfigSchema = z
  .strictObject({
    hypervisor: z
      .enum(['loop', 'qemu'], 'allowed are "loop" and "qemu"')
      .default('loop')
      .describe("`loop`: disks become loop devices of this machine. `qemu`: SCSI disks of QEMU's VMs, over QMP."),
    qmpSockets: qmpSockets
      .optional()
      .describe(
        'Where QEMUs have their QMP sockets: `/run/qemu/*.qmp`. With `vsock`, those of VMs that are not listed too.',
      ),
    controller: z
      .enum(controllerKinds, 'allowed are "pvscsi" and "virtio-scsi"')
      .default('pvscsi')
      .describe("On which of a VM's controllers its disks are put."),
    vsock: z
      .boolean('must be true or false')
      .default(false)
      .describe('Whether VMs may come over vsock; who they are is told by their addresses.'),
    datastores: z
      .record(datastoreName, path, 'must be an object of names and folders, such as {"local": "/srv/vmdk"}')
      .describe('Name and folder of each.'),
    defaultDatastore: z.string().optional().describe('Where short names are; not needed when there is one datastore.'),
    vms: z
      .array(vm, 'must be a list such as [{"name": "vm1", "socket": "/run/docker-volume-vmdk/vm1.sock"}]')
      .default([])
      .describe('The virtual machines; with `vsock` and `qmpSockets` also those that are not listed.'),
    adminSocket: path.default('/run/docker-volume-vmdk/admin.sock').describe('Where `vmdkops` asks.'),
    logLevel: z.enum(logLevels).default('info').describe('Events below this level are not logged.'),
    reconfigureTimeoutMs: z
      .number()
      .int()
      .min(100)
      .max(3_600_000)
      .default(60_000)
      .describe('For one call that attaches or detaches disks; a call that takes longer is given up, and asked about.'),
    checkIntervalMs: z
      .number()
      .int()
      .min(1_000)
      .max(86_400_000)
      .default(300_000)
      .describe('How often the volumes are compared with what is attached and with what the datastores hold.'),
  })
  .superRefine((config, context) => {
    const refuse = (keys: readonly (string | number)[], message: string): void => {
      context.addIssue({ code: 'custom', path: [...keys], message });
    };
    checkDatastores(config, refuse);
    checkVms(config, refuse);
    if (config.hypervisor === 'qemu') checkQemu(config, refuse);
    else checkLoop(config, refuse);
  });

export type ServiceConfig = Readonly<z.infer<typeof serviceConfigSchema>>;

type Refuse = (keys: readonly (string | number)[], message: string) => void;

function checkDatastores(config: ServiceConfig, refuse: Refuse): void {
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
}

function checkVms(config: ServiceConfig, refuse: Refuse): void {
  const sameName = twinIn(config.vms.map(({ name }) => name));
  if (sameName !== undefined) refuse(['vms'], `names the VM ${sameName} twice`);
  const sockets = config.vms.flatMap(({ socket, qmp }) => [socket, qmp]).filter((socket) => socket !== undefined);
  const sameSocket = twinIn([...sockets, config.adminSocket]);
  if (sameSocket !== undefined) refuse(['vms'], `uses the socket ${sameSocket} twice`);
  for (const [index, { socket }] of config.vms.entries()) {
    if (socket !== undefined || config.vsock) continue;
    refuse(['vms', index, 'socket'], 'is needed, as an absolute path to which this VM connects, without "vsock": true');
  }
  const isFound = config.vsock && config.qmpSockets !== undefined;
  if (config.vms.length === 0 && !isFound) refuse(['vms'], 'must name at least one VM');
}

function checkQemu(config: ServiceConfig, refuse: Refuse): void {
  for (const [index, { name, qmp, contextId }] of config.vms.entries()) {
    if (qmp === undefined && config.qmpSockets === undefined) {
      refuse(['vms', index, 'qmp'], 'is needed, as the absolute path of the QMP socket of this VM, without qmpSockets');
    }
    if (qmp === undefined && name.includes('/')) {
      refuse(['vms', index, 'qmp'], 'is needed, since a name with a slash cannot stand for the star of qmpSockets');
    }
    if (contextId !== undefined && !config.vsock) refuse(['vms', index, 'contextId'], 'needs "vsock": true');
  }
  const contextIds = config.vms.flatMap(({ contextId }) => (contextId === undefined ? [] : [String(contextId)]));
  const sameId = twinIn(contextIds);
  if (sameId !== undefined) refuse(['vms'], `uses the contextId ${sameId} twice`);
  const sameSocket = twinIn(config.vms.flatMap(({ qmp }) => qmp ?? []));
  if (sameSocket !== undefined) refuse(['vms'], `uses the QMP socket ${sameSocket} twice; each VM has its own`);
}

function checkLoop(config: ServiceConfig, refuse: Refuse): void {
  if (config.qmpSockets !== undefined) refuse(['qmpSockets'], qemuOnly);
  if (config.vsock) refuse(['vsock'], `${qemuOnly}: programs of this machine have no vsock addresses`);
  for (const [index, { qmp, uuid, contextId }] of config.vms.entries()) {
    for (const [key, value] of Object.entries({ qmp, uuid, contextId })) {
      if (value !== undefined) refuse(['vms', index, key], qemuOnly);
    }
  }
}

function twinIn(texts: readonly string[]): string | undefined {
  return texts.find((text, place) => texts.indexOf(text) !== place);
}

/** The datastore of a VM's short names, spelled as its own key. */
export function defaultDatastoreOf(config: ServiceConfig, wanted: string | undefined): string {
  const names = Object.keys(config.datastores);
  const name = wanted ?? config.defaultDatastore;
  return names.find((candidate) => candidate.toLowerCase() === name?.toLowerCase()) ?? names[0] ?? '';
}
