/**
 * What dockerd is told of the managed plugin. Invariant: all that must outlive the plugin is in the folder of the host
 * that is mounted as `state`; a plugin that is removed and made again gets another id, and finds its volumes there.
 */
import { pluginConfigSchema } from '../../plugin/config.ts';
import { installedFolder } from '../payload/payload.ts';

/** On the host and in the plugin alike, so that messages name files that the administrator finds. */
const stateFolder = '/var/lib/docker-volume-vmdk';
const mountRoot = '/mnt/vmdk';

/** Under dockerd's limit of 30 s for a plugin that was enabled by hand; the work goes on, and is found done when asked again. */
const answerMs = '20000';

const fixed = {
  VMDK_SOCKET: '/run/docker/plugins/vmdk.sock',
  VMDK_MOUNT_ROOT: mountRoot,
  VMDK_STATE_DIR: `${stateFolder}/plugin`,
  VMDK_ADMIN_SOCKET: `${stateFolder}/admin.sock`,
  // It stays for dockerd to stop it, and logs as dockerd expects it.
  DOCKER_PLUGIN: 'managed',
  // As bin/launch.sh sets them.
  UV_THREADPOOL_SIZE: '16',
  MALLOC_ARENA_MAX: '1',
};

const settable = {
  VMDK_EMBEDDED: ['false', 'Run the service in the plugin, with loop devices: true or false'],
  VMDK_SERVICE: ['vsock://2:1019', 'Where the service is: vsock://CID:PORT or unix:///path; not used when embedded'],
  VMDK_DATASTORE: [`${stateFolder}/datastore`, 'The folder of the datastore, when embedded; below the state folder'],
  VMDK_LOG_LEVEL: ['info', 'error, warn, info or debug'],
  VMDK_DRIVER_NAME: ['vmdk', 'The name that this plugin was created by, without its tag'],
  VMDK_DOCKER_SOCKET: ['/run/host/docker.sock', "Docker's API, below /run/host, which is the host's /run; or empty"],
  VMDK_CREATE_TIMEOUT_MS: [answerMs, 'Time limit of a create'],
  VMDK_MOUNT_TIMEOUT_MS: [answerMs, 'Time limit of a mount'],
  VMDK_REQUEST_TIMEOUT_MS: [answerMs, 'Time limit of any other request'],
  VMDK_PREPARE_TIMEOUT_MS: [defaultOf('prepareTimeoutMs'), 'Time limit for making a disk ready'],
  VMDK_RELEASE_TIMEOUT_MS: [defaultOf('releaseTimeoutMs'), 'Time limit for taking a disk back'],
  VMDK_SWEEP_GRACE_MS: [defaultOf('sweepGraceMs'), 'For how long nobody may have used a volume before it is let go'],
  VMDK_MAX_IN_FLIGHT: [defaultOf('maxInFlight'), 'Commands on the way at once'],
} satisfies Readonly<Record<string, readonly [string, string]>>;

function defaultOf(key: 'prepareTimeoutMs' | 'releaseTimeoutMs' | 'sweepGraceMs' | 'maxInFlight'): string {
  return String(pluginConfigSchema.shape[key].parse(undefined));
}

/**
 * Beyond those that any container has. SYS_ADMIN mounts and attaches loop devices; SYS_PTRACE reads the mount tables of
 * containers that run as other users, which tell who still uses a volume.
 */
const capabilities = ['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'];

export const pluginConfig = {
  description: 'docker-volume-vmdk: each volume is a virtual disk of its own',
  documentation: 'https://docs.docker.com/engine/extend/plugins_volume/',
  interface: { types: ['docker.volumedriver/1.0'], socket: 'vmdk.sock' },
  entrypoint: [
    `/${installedFolder}/bin/node`,
    // As bin/launch.sh calls it.
    '--max-semi-space-size=2',
    '--no-opt',
    `/${installedFolder}/dist/vmdk-plugin.js`,
  ],
  workdir: '/',
  network: { type: 'host' },
  // Who uses a volume is seen in the mount tables of the host's processes.
  pidHost: true,
  propagatedMount: mountRoot,
  linux: { capabilities, allowAllDevices: true },
  mounts: [
    bind('dev', '/dev', '/dev', ['rbind', 'rw']),
    { ...bind('state', stateFolder, stateFolder, ['rbind', 'rw']), settable: ['source'] },
    // The folder, since dockerd makes the socket anew at each start; not what is mounted below, which it would keep busy.
    { ...bind('docker', '/run', '/run/host', ['bind', 'ro']), settable: ['source'] },
  ],
  env: [
    ...Object.entries(fixed).map(([name, value]) => ({ name, description: '', value, settable: null })),
    ...Object.entries(settable).map(([name, [value, description]]) => ({
      name,
      description,
      value,
      settable: ['value'],
    })),
  ],
};

function bind(name: string, source: string, destination: string, options: readonly string[]): Bind {
  return { name, description: '', source, destination, type: 'bind', options, settable: null };
}

interface Bind {
  readonly name: string;
  readonly description: string;
  readonly source: string;
  readonly destination: string;
  readonly type: 'bind';
  readonly options: readonly string[];
  readonly settable: readonly string[] | null;
}
