/**
 * The service where it lives: on a host with the kernel's own vhost-vsock. The host is a test guest, and its guest an
 * inner one. It takes minutes, so it is no part of `npm test`: `npm run test:nested` runs it.
 */
import { randomBytes } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { encodeFrame, maxBodyBytes } from '../../../native/channel/frame.ts';
import type { Guest } from '../guest.ts';
import { GuestProgram } from '../guest-program.ts';
import { bootOuterGuest, InnerGuest, request } from '../inner-guest.ts';
import { emptyDisk } from '../../support/empty-disk.ts';

const { serial } = test;

const cid = 42;
const servicePort = 1019;
const echoPort = 6001;
const closed = { code: 3, complaints: 'client: closed\n', replies: [] };
const bytes = 'written by the inner guest';

const config = {
  hypervisor: 'qemu',
  datastores: { local: '/srv/vmdk' },
  vsock: true,
  qmpSockets: '/run/vms/*.qmp',
  adminSocket: '/run/admin.sock',
};
let outer: Guest;
let inner: InnerGuest;
let service: GuestProgram;

function hello(): unknown {
  // Of the guest's clock, in which a later one must be later.
  const saidAtUs = Math.round(performance.now() * 1000);
  return request('hello', { versions: [3], clientVersion: 'test', bootId: 'inner', saidAtUs }, 0);
}

/** Commands of one connection; the hello's answer is left out. */
async function command(t: ExecutionContext, cmd: string, args: unknown): Promise<unknown> {
  const { replies, complaints } = await inner.ask(servicePort, 'privileged', [hello(), request(cmd, args, 1)]);
  t.like({ complaints, count: replies.length }, { complaints: '', count: 2 });
  return replies[1];
}

function tellOnFailure(t: ExecutionContext): void {
  if (!t.passed) t.log((service as GuestProgram | undefined)?.output ?? 'the service was not started');
}

test.before(async (t) => {
  const begun = performance.now();
  outer = await bootOuterGuest();
  await outer.mustRun('mkdir -p /run/vms /srv/vmdk');
  inner = await InnerGuest.boot(outer, { cid, qmpSocket: '/run/web.qmp' });
  t.log(`the inner guest runs after ${Math.round((performance.now() - begun) / 1000)} s`);
  await outer.copyIn(Buffer.from(JSON.stringify(config)), '/run/service.json');
  service = await GuestProgram.start(outer, '/vmdk/bin/vmdkopsd --config /run/service.json', '"started"');
});
test.after.always(async (t) => {
  tellOnFailure(t);
  await (outer as Guest | undefined)?.[Symbol.asyncDispose]();
});

serial(
  'nested vsock: a listener is told the CID and the port of whoever dials, and refuses an unprivileged one',
  async (t) => {
    await using listener = await GuestProgram.start(
      outer,
      `node /vmdk/inside/vsock-listener.js ${echoPort}`,
      'listening',
    );
    t.deepEqual(await inner.ask(echoPort, 'privileged', ['echo']), { code: 0, complaints: '', replies: ['echo'] });
    t.deepEqual(await inner.ask(echoPort, 'any', ['echo']), closed);
    t.is(listener.output, `listening\n${cid}:1023\n`);
  },
);

serial('nested vsock: a message of the greatest length crosses both ways', async (t) => {
  await using _listener = await GuestProgram.start(
    outer,
    `node /vmdk/inside/vsock-listener.js ${echoPort}`,
    'listening',
  );
  const largest = randomBytes((maxBodyBytes - '""\0'.length) / 2).toString('hex');
  await inner.mustRun('cat > /tmp/frame', encodeFrame(`${largest}x`.slice(0, maxBodyBytes - '""\0'.length)));
  await inner.mustRun(`client 2 ${echoPort} privileged < /tmp/frame > /tmp/back && cmp /tmp/frame /tmp/back`);
  t.is(await inner.mustRun('stat -c %s /tmp/back'), `${maxBodyBytes + 8}\n`);
});

serial('nested vsock: where nobody listens, the guest is told so at once', async (t) => {
  t.deepEqual(await inner.ask(echoPort, 'privileged', ['echo']), {
    code: 2,
    complaints: 'client: Connection reset by peer\n',
    replies: [],
  });
});

serial(
  'nested vsock: the service refuses a CID of no VM that it knows, and knows it when its VM is found',
  async (t) => {
    t.deepEqual(await inner.ask(servicePort, 'privileged', [hello()]), closed);
    await service.until(`CID ${cid}`);
    t.regex(service.output, /connection from an unknown peer refused/);
    await outer.mustRun('mv /run/web.qmp /run/vms/web.qmp');
    // It looks for new VMs when somebody calls whom it does not know, who then has to call again.
    t.deepEqual(await inner.ask(servicePort, 'privileged', [hello()]), closed);
    await service.until('VM reached');
    const { replies } = await inner.ask(servicePort, 'privileged', [hello()]);
    t.like(replies, [{ id: 0, ok: { version: 3, vm: { id: 'web', name: 'web' }, attached: [] } }]);
  },
);

serial('nested vsock: the service refuses an unprivileged port, also of a VM that it knows', async (t) => {
  t.deepEqual(await inner.ask(servicePort, 'any', [hello()]), closed);
});

serial(
  'nested vsock: the service answers a message of nearly the greatest length, and what comes behind it',
  async (t) => {
    const name = 'x'.repeat(maxBodyBytes - 1000);
    const messages = [hello(), request('get', { name }, 1), request('ping', {}, 2)];
    const { replies } = await inner.ask(servicePort, 'privileged', messages);
    t.like(replies, [{ id: 0 }, { id: 1, error: { code: 'InvalidRequest' } }, { id: 2, ok: {} }]);
  },
);

serial('nested vsock: the guest that asks gets its disk, and what it writes there is in the volume', async (t) => {
  t.like(await command(t, 'create', emptyDisk('db')), { ok: { volume: { name: 'db', createdBy: 'web' } } });
  const attached = await command(t, 'attach', { name: 'db' });
  t.like(attached, { ok: { device: { kind: 'scsi', unit: 0 } } });
  const { pciSlot } = (attached as { ok: { device: { pciSlot: string } } }).ok.device;
  const disk = `/sys/bus/pci/devices/${pciSlot}/host*/target*/*:0:0:0/block/*`;
  await inner.mustRun(`until ls -d ${disk}; do usleep 50000; done`);
  await inner.mustRun(`echo '${bytes}' | dd of=/dev/$(basename ${disk}) conv=fsync,notrunc`);
  const extent = '/srv/vmdk/dockvols/_DEFAULT/db-flat.vmdk';
  t.is(await outer.mustRun(`head -c ${bytes.length} ${extent}`), bytes);
  // That the guest sees it go is no promise here: QEMU does not save pvscsi's messages, so after its saved state the guest
  // reads each as "unit 0 was added". Guests that were started where they run show it (`hotplug.test.ts`).
  const detach = { name: 'db', isFormatted: false, isClonePrepared: false };
  t.like(await command(t, 'detach', detach), { ok: {} });
});
