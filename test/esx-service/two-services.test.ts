/** Two services at once, as processes: the second ends with one line that names the first, which notices nothing. */
import { mkdir, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { startProgram, type Program } from '../support/program.ts';
import { never } from './support/commands.ts';
import { place, type Place } from './support/place.ts';
import { clientsOf, configIn } from './support/running.ts';

async function service(t: ExecutionContext, at: Place, file: string, config: object): Promise<Program> {
  await writeFile(at.path(file), JSON.stringify(config));
  return startProgram(t, 'vmdkopsd', ['--config', at.path(file)]);
}

test('two services: whatever they have in common, the second is refused by the first one’s number', async (t) => {
  const at = await place(t);
  for (const folder of ['local', 'spare', 'third']) await mkdir(at.path(folder));
  const first = await service(t, at, 'first.json', configIn(at));
  await first.says('started');
  const other = {
    datastores: { third: at.path('third') },
    vms: [{ name: 'gamma', socket: at.path('gamma.sock') }],
    adminSocket: at.path('other.sock'),
  };
  for (const [shared, mention] of [
    [{ datastores: { third: at.path('spare') } }, `datastore third (${at.path('spare')}) is in use`],
    [{ vms: [{ name: 'gamma', socket: at.path('alpha.sock') }] }, `cannot listen on ${at.path('alpha.sock')}`],
    [{ adminSocket: at.path('admin.sock') }, `cannot listen on ${at.path('admin.sock')}`],
  ] as const) {
    const { code, log } = await (await service(t, at, 'second.json', { ...other, ...shared })).ended();
    t.is(code, 1);
    t.regex(log, /^vmdkopsd: [^\n]+\n$/);
    t.true(log.includes(mention), `said: ${log}`);
    t.regex(log, new RegExp(`process ${first.pid}\\b`));
  }
  const alpha = clientsOf(t, at).client('alpha');
  t.deepEqual(await alpha.call('ping', {}, never), {});
});
