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
  ['another hypervisor', { ...one, VMDK_HYPERVISOR: 'xen' }, ['hypervisor', '"xen"', '"loop"']],
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
