/** A whole service with QEMUs for VMs, as its configuration puts it together; guests come by their sockets. */
import test, { type ExecutionContext } from 'ava';
import { type LogFields, type Logger, silentLogger } from '../../common/logging.ts';
import { type RunningService, startService } from '../../esx-service/compose.ts';
import { serviceConfigSchema } from '../../esx-service/config.ts';
import type { ChannelEvent } from '../../native/channel/contract.ts';
import { never, refused } from './support/commands.ts';
import { type Place, place } from './support/place.ts';
import { startQemu } from './support/qemu.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { clientsOf, configIn } from './support/running.ts';

const { serial } = test;

async function start(t: ExecutionContext, at: Place, logger: Logger = silentLogger): Promise<RunningService> {
  const config = { ...configIn(at), hypervisor: 'qemu', qmpSockets: at.path('*.qmp') };
  const service = await startService(serviceConfigSchema.parse(config), { logger });
  t.teardown(() => service.close());
  return service;
}

serial(
  'qemu service: guests get SCSI disks, keep them over a restart, and others are told when a VM is killed',
  async (t) => {
    const at = await place(t);
    const alphaQemu = await startQemu(t, at, { name: 'alpha' });
    await startQemu(t, at, { name: 'beta' });
    const service = await start(t, at);
    const { client } = clientsOf(t, at);
    const alpha = client('alpha');
    await alpha.call('create', emptyDisk('db'), never);
    const { device } = await alpha.call('attach', { name: 'db' }, never);
    t.like(device, { kind: 'scsi', pciSlot: '0000:00:02.0', pciBus: '00', unit: 0 });
    await service.close();
    const again = await start(t, at);
    t.like(again.status(), { hypervisor: 'qemu', vms: [{ name: 'alpha', attached: ['db@local'] }, { name: 'beta' }] });
    t.deepEqual((await alpha.call('attach', { name: 'db' }, never)).device, device);
    const freed = Promise.withResolvers<ChannelEvent>();
    const beta = client('beta', { onEvent: (event) => freed.resolve(event) });
    await beta.call('watch', {}, never);
    await refused(t, beta.call('attach', { name: 'db@local' }, never), 'VolumeInUse', 'db@local', 'VM alpha');
    await alphaQemu.kill();
    t.like(await freed.promise, { kind: 'changed', volume: { name: 'db', attached: undefined } });
    t.like((await beta.call('attach', { name: 'db@local' }, never)).device, { kind: 'scsi', unit: 0 });
  },
);

serial('qemu service: that somebody takes a disk out of a VM is told, and it is free', async (t) => {
  const at = await place(t);
  const qemu = await startQemu(t, at, { name: 'alpha' });
  await startQemu(t, at, { name: 'beta' });
  const service = await start(t, at);
  const { client } = clientsOf(t, at);
  const freed = Promise.withResolvers<ChannelEvent>();
  const beta = client('beta');
  await beta.call('create', emptyDisk('db@local'), never);
  await beta.call('create', emptyDisk('other@local'), never);
  const alpha = client('alpha', {
    onEvent: (event) => {
      if (event.kind === 'changed' && !event.volume.attached) freed.resolve(event);
    },
  });
  await alpha.call('attach', { name: 'db' }, never);
  await alpha.call('attach', { name: 'other' }, never);
  await alpha.call('watch', {}, never);
  const [{ qdev: id = '' } = {}] = (await qemu.ask('query-block')) as { qdev?: string }[];
  await qemu.ask('device_del', { id });
  t.like(await freed.promise, { kind: 'changed', volume: { name: 'db', attached: undefined } });
  t.like(service.status(), { vms: [{ name: 'alpha', attached: ['other@local'] }, { name: 'beta' }] });
  await beta.call('attach', { name: 'db@local' }, never);
  await refused(t, beta.call('attach', { name: 'other@local' }, never), 'VolumeInUse', 'VM alpha');
});

/** Takes down how many changes were in each call to the hypervisor. */
function callCounter(): { readonly logger: Logger; readonly calls: unknown[] } {
  const calls: unknown[] = [];
  const debug = (message: string, fields: LogFields = {}): void => {
    if (message === 'the hypervisor has answered') calls.push(fields['changes']);
  };
  const logger: Logger = { ...silentLogger, debug, child: () => logger };
  return { logger, calls };
}

function sum(counts: readonly unknown[]): number {
  return counts.reduce((total: number, count) => total + Number(count), 0);
}

serial('qemu service: 32 attaches that come together, and then 32 detaches, take at most 5 calls each', async (t) => {
  const at = await place(t);
  await startQemu(t, at, { name: 'alpha' });
  const { logger, calls } = callCounter();
  await start(t, at, logger);
  const alpha = clientsOf(t, at).client('alpha');
  const names = Array.from({ length: 32 }, (_, place) => `many-${place}`);
  await Promise.all(names.map((name) => alpha.call('create', emptyDisk(name), never)));
  const replies = await Promise.all(names.map((name) => alpha.call('attach', { name }, never)));
  t.is(new Set(replies.map(({ device }) => JSON.stringify(device))).size, 32);
  const attaches = calls.splice(0);
  t.true(sum(attaches) === 32 && attaches.length <= 5, `attaches by call: ${attaches.join(' ')}`);
  const report = { isFormatted: false, isClonePrepared: false } as const;
  await Promise.all(names.map((name) => alpha.call('detach', { name, ...report }, never)));
  t.true(sum(calls) === 32 && calls.length <= 5, `detaches by call: ${calls.join(' ')}`);
  t.log(`attaches by call: ${attaches.join(' ')}; detaches: ${calls.join(' ')}`);
});

serial('qemu service: a guest of version 2 is told where its disk is', async (t) => {
  const at = await place(t);
  await startQemu(t, at, { name: 'alpha' });
  await start(t, at);
  const { askV2 } = clientsOf(t, at);
  await askV2('alpha', 'create', 'db', { size: '8mb' });
  const where = { Unit: '0', ControllerPciSlotNumber: '0000:00:02.0', ControllerPciBusNumber: '00' };
  t.deepEqual(await askV2('alpha', 'attach', 'db'), where);
  t.is(await askV2('alpha', 'detach', 'db'), null);
});

serial('qemu service: a VM that is off can create volumes, and is told why it cannot attach them', async (t) => {
  const at = await place(t);
  await start(t, at);
  const alpha = clientsOf(t, at).client('alpha');
  await alpha.call('create', emptyDisk('db'), never);
  const attached = alpha.call('attach', { name: 'db' }, never);
  await refused(t, attached, 'HostUnavailable', 'VM alpha is off', at.path('alpha.qmp'));
});
