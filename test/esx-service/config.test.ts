import test from 'ava';
import { loadConfig } from '../../common/config.ts';
import { faultOf } from '../../common/fault.ts';
import { defaultDatastoreOf, serviceConfigSchema } from '../../esx-service/config.ts';

const one = {
  VMDK_DATASTORES: '{"local": "/srv/local"}',
  VMDK_VMS: '[{"name": "alpha", "socket": "/run/alpha.sock"}]',
};
const two = {
  ...one,
  VMDK_DATASTORES: '{"local": "/srv/local", "Fast": "/srv/fast"}',
  VMDK_DEFAULT_DATASTORE: 'local',
};

const qemu = { ...one, VMDK_HYPERVISOR: 'qemu' };
const found = { ...qemu, VMDK_QMP_SOCKETS: '/run/qemu/*.qmp' };

function load(env: Readonly<Record<string, string>>): ReturnType<typeof loadConfig<typeof serviceConfigSchema>> {
  return loadConfig(serviceConfigSchema, { defaultFile: '/nonexistent/esx-service.json', args: [], env });
}

test('config: what is not said has its default', async (t) => {
  t.like(await load(one), {
    hypervisor: 'loop',
    adminSocket: '/run/docker-volume-vmdk/admin.sock',
    logLevel: 'info',
    reconfigureTimeoutMs: 60_000,
    checkIntervalMs: 300_000,
  });
});

test('config: the default datastore is the VM’s own, else the service’s, else the only one, spelled as its key', async (t) => {
  t.is(defaultDatastoreOf(await load(one), undefined), 'local');
  const config = await load(two);
  t.is(defaultDatastoreOf(config, undefined), 'local');
  t.is(defaultDatastoreOf(config, 'FAST'), 'Fast');
});

test('config: a VM of QEMU has its QMP socket by its own key or by the pattern, and a socket or vsock to come by', async (t) => {
  const own = '[{"name":"a","socket":"/a","qmp":"/a.qmp","uuid":"6c1d5f2e-8a4b-4c3d-9e2f-0a1b2c3d4e5f"}]';
  t.like(await load({ ...qemu, VMDK_VMS: own }), { controller: 'pvscsi', vsock: false, vms: [{ qmp: '/a.qmp' }] });
  t.like(await load(found), { qmpSockets: '/run/qemu/*.qmp' });
  const vsock = { ...found, VMDK_VSOCK: 'true', VMDK_CONTROLLER: 'virtio-scsi' };
  t.like(await load({ ...vsock, VMDK_VMS: '[{"name":"a","contextId":3}]' }), { controller: 'virtio-scsi' });
  t.deepEqual((await load({ ...vsock, VMDK_VMS: '[]' })).vms, []);
});

for (const [what, env, mentions] of [
  ['no datastore at all', { VMDK_VMS: one.VMDK_VMS }, ['key datastores', '{"local": "/srv/vmdk"}']],
  ['an empty list of datastores', { ...one, VMDK_DATASTORES: '{}' }, ['datastores', 'at least one']],
  ['a relative folder', { ...one, VMDK_DATASTORES: '{"local": "srv"}' }, ['datastores.local', '"srv"', 'absolute']],
  ['a datastore name that is none', { ...one, VMDK_DATASTORES: '{"a@b": "/srv"}' }, ['datastores', 'a@b']],
  [
    'two datastores of one name',
    { ...two, VMDK_DATASTORES: '{"local": "/a", "LOCAL": "/b"}' },
    ['datastores', 'local', 'twice'],
  ],
  [
    'several datastores and no default',
    { ...two, VMDK_DEFAULT_DATASTORE: undefined },
    ['defaultDatastore', 'local, Fast'],
  ],
  ['an unknown default', { ...two, VMDK_DEFAULT_DATASTORE: 'x' }, ['defaultDatastore', '"x"', 'local, Fast']],
  [
    'an unknown default of a VM',
    { ...one, VMDK_VMS: '[{"name":"a","socket":"/a","defaultDatastore":"x"}]' },
    ['vms.0.defaultDatastore', '"x"', 'local'],
  ],
  ['no VM', { ...one, VMDK_VMS: '[]' }, ['vms']],
  [
    'two VMs of one name',
    { ...one, VMDK_VMS: '[{"name":"a","socket":"/a"},{"name":"a","socket":"/b"}]' },
    ['vms', 'a twice'],
  ],
  [
    'two VMs on one socket',
    { ...one, VMDK_VMS: '[{"name":"a","socket":"/a"},{"name":"b","socket":"/a"}]' },
    ['vms', '/a twice'],
  ],
  ['another hypervisor', { ...one, VMDK_HYPERVISOR: 'xen' }, ['hypervisor', '"xen"', '"loop"', '"qemu"']],
  ['a VM without a socket', { ...one, VMDK_VMS: '[{"name":"a"}]' }, ['vms.0.socket', 'none', 'absolute', 'vsock']],
  ['a QEMU without a QMP socket', qemu, ['vms.0.qmp', 'none', 'absolute', 'qmpSockets']],
  [
    'a relative QMP path',
    { ...qemu, VMDK_VMS: '[{"name":"a","socket":"/a","qmp":"a.qmp"}]' },
    ['vms.0.qmp', '"a.qmp"'],
  ],
  [
    'a QMP socket that is also the VM’s own',
    { ...qemu, VMDK_VMS: '[{"name":"a","socket":"/a","qmp":"/a"}]' },
    ['vms', '/a twice'],
  ],
  [
    'a pattern without a star',
    { ...found, VMDK_QMP_SOCKETS: '/run/a.qmp' },
    ['qmpSockets', '"/run/a.qmp"', 'one star'],
  ],
  ['a pattern with a star in a folder', { ...found, VMDK_QMP_SOCKETS: '/run/*/qmp' }, ['qmpSockets', 'last part']],
  [
    'a name that cannot stand for the star',
    { ...found, VMDK_VMS: '[{"name":"a/b","socket":"/a"}]' },
    ['vms.0.qmp', 'a slash'],
  ],
  ['another controller', { ...found, VMDK_CONTROLLER: 'lsi' }, ['controller', '"lsi"', '"pvscsi"', '"virtio-scsi"']],
  ['a UUID that is none', { ...found, VMDK_VMS: '[{"name":"a","socket":"/a","uuid":"7"}]' }, ['vms.0.uuid', '"7"']],
  ['a vsock that is neither', { ...found, VMDK_VSOCK: 'maybe' }, ['vsock', '"maybe"', 'true or false']],
  [
    'a vsock address of the host',
    { ...found, VMDK_VMS: '[{"name":"a","socket":"/a","contextId":2}]' },
    ['contextId', '3'],
  ],
  [
    'a vsock address without vsock',
    { ...found, VMDK_VMS: '[{"name":"a","socket":"/a","contextId":3}]' },
    ['vms.0.contextId', '"vsock": true'],
  ],
  [
    'two VMs of one vsock address',
    { ...found, VMDK_VSOCK: 'true', VMDK_VMS: '[{"name":"a","contextId":3},{"name":"b","contextId":3}]' },
    ['vms', 'contextId 3 twice'],
  ],
  [
    'two VMs of one QMP socket',
    { ...found, VMDK_VSOCK: 'true', VMDK_VMS: '[{"name":"a","qmp":"/q"},{"name":"b","qmp":"/q"}]' },
    ['vms', 'QMP socket /q twice'],
  ],
  ['QMP sockets of loop devices', { ...found, VMDK_HYPERVISOR: 'loop' }, ['qmpSockets', 'only', '"qemu"']],
  ['vsock of loop devices', { ...one, VMDK_VSOCK: 'true' }, ['vsock', 'only', '"qemu"']],
  [
    'a QMP socket of a VM of loop devices',
    { ...one, VMDK_VMS: '[{"name":"a","socket":"/a","qmp":"/a.qmp"}]' },
    ['vms.0.qmp', 'only', '"qemu"'],
  ],
  ['a time limit that is none', { ...one, VMDK_RECONFIGURE_TIMEOUT_MS: '5' }, ['reconfigureTimeoutMs', '5', '100']],
  ['an interval that is none', { ...one, VMDK_CHECK_INTERVAL_MS: '5' }, ['checkIntervalMs', '5', '1000']],
  ['an unknown key of a VM', { ...one, VMDK_VMS: '[{"name":"a","socket":"/a","cid":3}]' }, ['cid']],
] as const) {
  test(`config: ${what} ends the start with one line that names it`, async (t) => {
    const defined = Object.fromEntries(
      Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const fault = faultOf(await t.throwsAsync(load(defined)));
    t.is(fault.code, 'InvalidRequest');
    t.false(fault.message.includes('\n'));
    for (const mention of mentions)
      t.true(fault.message.includes(mention), `"${fault.message}" should mention ${mention}`);
  });
}
