import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import test from 'ava';
import type { Reply } from '../../native/channel/contract.ts';
import { detachLoop, listLoops } from '../../native/loop-devices.ts';
import { mount, unmount } from '../../native/mounts.ts';
import { never } from './support/commands.ts';
import { daemon, kill } from './support/daemon.ts';
import { fileOf, filesOf, place, run } from './support/place.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { clientsOf } from './support/running.ts';

test('vmdkopsd: killed under mounted volumes, the next one knows who holds what, frees the rest, and sweeps', async (t) => {
  const at = await place(t);
  const { client } = clientsOf(t, at);
  const ds = at.path('local');
  const greetings: Reply<'hello'>[] = [];
  const alpha = client('alpha', { onSession: ({ hello }) => greetings.push(hello) });
  const beta = client('beta');
  const first = await daemon(t, at);
  for (const name of ['mounted', 'other', 'lost', 'removed'])
    await alpha.call('create', emptyDisk(`${name}@local`), never);
  const { device } = await alpha.call('attach', { name: 'mounted' }, never);
  const path = device.kind === 'loop' ? device.path : '';
  await run('mkfs.ext4', '-q', path);
  await mkdir(at.path('mnt'));
  await mount({ source: path, target: at.path('mnt'), fstype: 'ext4' });
  t.teardown(() => unmount(at.path('mnt')));
  const bytes = randomBytes(4096);
  await writeFile(at.path('mnt', 'data'), bytes);
  await beta.call('attach', { name: 'other@local' }, never);
  await alpha.call('attach', { name: 'lost' }, never);
  await kill(first);
  // What happens, and what lies about, while nobody is there.
  const [lost] = (await listLoops()).filter(({ backingPath }) => backingPath === fileOf(ds, 'lost-flat.vmdk'));
  await detachLoop(lost?.path ?? '', lost?.diskSequence);
  await rename(fileOf(ds, 'removed.vmdk'), fileOf(ds, 'removed.vmdk.removed'));
  await writeFile(fileOf(ds, '.0a1b2c3d-0000-4000-8000-000000000000.tmp'), 'half');
  await daemon(t, at);
  const { volumes } = await alpha.call('list', { limit: 10 }, never);
  t.deepEqual(
    volumes.map(({ name, attached, problem }) => [name, attached?.vm.name, problem]),
    [
      ['lost', undefined, undefined],
      ['mounted', 'alpha', undefined],
      ['other', 'beta', undefined],
    ],
  );
  t.deepEqual((await alpha.call('attach', { name: 'mounted' }, never)).device, device);
  t.deepEqual(await readFile(at.path('mnt', 'data')), bytes);
  t.is((await filesOf(ds)).length, 9);
  const [before, after] = greetings;
  t.not(before?.instanceId, after?.instanceId);
  t.deepEqual([before?.attached, after?.attached], [[], ['mounted@local']]);
});

test('vmdkopsd: what differs while it runs is mended by itself, after its interval', async (t) => {
  const at = await place(t);
  const { client } = clientsOf(t, at);
  await daemon(t, at, { checkIntervalMs: 1_000 });
  const alpha = client('alpha');
  await alpha.call('create', emptyDisk('db'), never);
  const { promise: freed, resolve } = Promise.withResolvers<undefined>();
  const watcher = client('beta', {
    onEvent: (event) => {
      if (event.kind === 'changed' && event.volume.name === 'copied') resolve(undefined);
    },
  });
  await watcher.call('watch', {}, never);
  const text = await readFile(fileOf(at.path('local'), 'db.vmdk'), 'utf8');
  await copyFile(fileOf(at.path('local'), 'db-flat.vmdk'), fileOf(at.path('local'), 'copied-flat.vmdk'));
  await writeFile(fileOf(at.path('local'), 'copied.vmdk'), text.replace('db-flat', 'copied-flat'));
  await freed;
  t.is((await alpha.call('get', { name: 'copied' }, never)).volume.problem, undefined);
});
