/** Guests that ask for what is not theirs, or say what is not so, byte by byte, of a service with real QEMUs. */
import test, { type ExecutionContext } from 'ava';
import { silentLogger } from '../../common/logging.ts';
import { startService } from '../../esx-service/compose.ts';
import { serviceConfigSchema } from '../../esx-service/config.ts';
import { dialRaw, type RawPeer } from '../native/channel/support/raw-peer.ts';
import { type Answer, ask, request } from '../native/channel/support/requests.ts';
import { hello } from '../native/channel/support/service.ts';
import { filesOf, type Place, place } from './support/place.ts';
import { type Qemu, startQemu } from './support/qemu.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { clientsOf, configIn } from './support/running.ts';

const { serial } = test;

interface Bed {
  readonly at: Place;
  readonly qemus: Readonly<Record<'alpha' | 'beta', Qemu>>;
  /** Of alpha, after its hello. */
  readonly peer: RawPeer;
}

async function start(t: ExecutionContext): Promise<Bed> {
  const at = await place(t);
  const alpha = await startQemu(t, at, { name: 'alpha' });
  const beta = await startQemu(t, at, { name: 'beta' });
  const config = { ...configIn(at), hypervisor: 'qemu', qmpSockets: at.path('*.qmp') };
  const service = await startService(serviceConfigSchema.parse(config), { logger: silentLogger });
  t.teardown(() => service.close());
  return { at, qemus: { alpha, beta }, peer: await greetedBy(t, clientsOf(t, at).socketOf('alpha')) };
}

async function greetedBy(t: ExecutionContext, socket: string): Promise<RawPeer> {
  const peer = await dialRaw(socket);
  t.teardown(() => peer.socket.destroy());
  await ask(peer, request(0, 'hello', hello));
  return peer;
}

async function disksOf({ ask: askQemu }: Qemu): Promise<number> {
  return ((await askQemu('query-block')) as unknown[]).length;
}

const told = { isFormatted: false, isClonePrepared: false };

serial('qemu service: a guest that asks for the detach of a disk that it has mounted gets it', async (t) => {
  const { qemus, peer } = await start(t);
  await ask(peer, request(1, 'create', emptyDisk('db')));
  await ask(peer, request(2, 'attach', { name: 'db' }));
  t.is(await disksOf(qemus.alpha), 1);
  // Neither the service nor QEMU could know: what the guest has mounted, only the guest can tell.
  t.deepEqual(await ask(peer, request(3, 'detach', { ...told, name: 'db' })), { id: 3, ok: {} });
  t.is(await disksOf(qemus.alpha), 0);
});

serial(
  'qemu service: a guest that names paths, places or other VMs gets a sentence, and nothing happens',
  async (t) => {
    const { at, qemus, peer } = await start(t);
    const before = await filesOf(at.path('local'));
    let id = 0;
    const asked = async (command: string, args: unknown): Promise<Answer> =>
      await ask(peer, request(++id, command, args));
    const paths = [
      '../db',
      '/etc/passwd',
      'a/b',
      'db@../local',
      'db@/etc',
      '.',
      '..',
      'db\0',
      'db.vmdk/..',
      'x'.repeat(1025),
    ];
    for (const name of paths) {
      for (const [command, args] of [
        ['create', { ...emptyDisk('new'), name }],
        ['create', { ...emptyDisk('new'), cloneFrom: name, sizeBytes: undefined }],
        ['attach', { name }],
        ['detach', { ...told, name }],
        ['remove', { name }],
        ['get', { name }],
      ] as const) {
        const { error } = await asked(command, args);
        const what = `${command} of ${JSON.stringify(name.slice(0, 20))}: ${error?.code}`;
        t.regex(error?.code ?? '', /^(?:InvalidName|InvalidRequest|InvalidOption|DatastoreNotFound)$/, what);
        t.not(error?.message ?? '', '', what);
      }
    }
    t.like(await asked('create', emptyDisk('db')), { ok: { volume: { name: 'db' } } });
    const claims = [
      { name: 'db', unit: 5 },
      { name: 'db', vm: 'beta' },
      { name: 'db', path: '/etc/passwd' },
      { name: 'db', device: { kind: 'scsi', pciSlot: '0000:00:03.0', pciBus: '00', unit: 3 } },
      { name: ['db'] },
      {},
    ];
    for (const claim of claims) t.like(await asked('attach', claim), { error: { code: 'InvalidRequest' } });
    t.is(await disksOf(qemus.alpha), 0);
    t.is(await disksOf(qemus.beta), 0);
    t.deepEqual(
      (await filesOf(at.path('local'))).filter((file) => !file.startsWith('db')),
      before,
    );
  },
);

serial('qemu service: a guest cannot let go what another one holds, in either version of the protocol', async (t) => {
  const { at, qemus, peer } = await start(t);
  const { askV2, socketOf } = clientsOf(t, at);
  const beta = await greetedBy(t, socketOf('beta'));
  await ask(beta, request(1, 'create', emptyDisk('db@local')));
  await ask(beta, request(2, 'attach', { name: 'db@local' }));
  t.deepEqual(await ask(peer, request(1, 'detach', { ...told, name: 'db' })), { id: 1, ok: {} });
  t.is(await askV2('alpha', 'detach', 'db'), null);
  for (const command of ['attach', 'remove']) {
    const { error } = await ask(peer, request(2, command, { name: 'db' }));
    t.is(error?.code, 'VolumeInUse');
    t.regex(error?.message ?? '', /db@local.*VM beta/);
    t.regex(JSON.stringify(await askV2('alpha', command, 'db')), /"Error":".*VM beta/);
  }
  t.is(await disksOf(qemus.beta), 1);
});
