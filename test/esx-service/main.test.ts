import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import test from 'ava';
import { never } from './support/commands.ts';
import { daemon, daemonProgram } from './support/daemon.ts';
import { filesOf, mebibyte, place } from './support/place.ts';
import { emptyDisk } from '../support/empty-disk.ts';
import { clientsOf } from './support/running.ts';

test('vmdkopsd: SIGTERM ends it in order, with its sockets gone and its disks attached', async (t) => {
  const at = await place(t);
  const child = await daemon(t, at);
  const alpha = clientsOf(t, at).client('alpha');
  await alpha.call('create', emptyDisk('db'), never);
  const { device } = await alpha.call('attach', { name: 'db' }, never);
  child.kill('SIGTERM');
  t.deepEqual(await once(child, 'exit'), [0, null]);
  await t.throwsAsync(access(at.path('alpha.sock')), { code: 'ENOENT' });
  await daemon(t, at);
  t.deepEqual((await alpha.call('attach', { name: 'db' }, never)).device, device);
});

test('vmdkopsd: killed at any moment of creates, attaches and removes, it comes back to whole volumes only', async (t) => {
  const at = await place(t);
  const alpha = clientsOf(t, at).client('alpha');
  let number = 0;
  for (let round = 0; round < 6; round += 1) {
    const child = await daemon(t, at);
    const work = Array.from({ length: 12 }, async () => {
      const own = (number += 1);
      const name = `v${own}`;
      const diskformat = own % 3 === 0 ? 'eagerzeroedthick' : 'thin';
      await alpha.call('create', { ...emptyDisk(name), diskformat, sizeBytes: mebibyte }, never);
      await alpha.call('attach', { name }, never);
      await alpha.call('detach', { name, isFormatted: true, isClonePrepared: false }, never);
      if (own % 2 === 0) await alpha.call('remove', { name }, never);
      return name;
    });
    await Promise.race(work);
    child.kill('SIGKILL');
    await once(child, 'exit');
    // The client repeats what was not answered to the next service.
    const next = await daemon(t, at);
    await Promise.all(work);
    next.kill('SIGKILL');
    await once(next, 'exit');
  }
  await daemon(t, at);
  const { volumes } = await alpha.call('list', { limit: 1000 }, never);
  const expected = volumes.flatMap(({ name }) => [`${name}-flat.vmdk`, `${name}.vmdk`, `${name}.vmdk.json`]).sort();
  t.deepEqual(await filesOf(at.path('local')), expected);
  t.deepEqual(
    volumes.filter(({ problem, attached }) => problem !== undefined || attached !== undefined),
    [],
  );
});

test('vmdkopsd: a start that fails is one line and exit code 1', async (t) => {
  const at = await place(t);
  const child = spawn(process.execPath, [daemonProgram, '--config', at.path('none.json')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (chunk) => (text += String(chunk)));
  t.deepEqual(await once(child, 'close'), [1, null]);
  t.regex(text, /^vmdkopsd: configuration: file .*none\.json cannot be read: ENOENT.*\n$/);
});
