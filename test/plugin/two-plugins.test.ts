/** Two plugins at once, as processes: the second ends with one line that names the first, which notices nothing. */
import { mkdir } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { place, type Place } from '../esx-service/support/place.ts';
import { getJson } from '../soak/get-json.ts';
import { type Program, startProgram } from '../support/program.ts';

interface Places {
  readonly socket?: string | undefined;
  readonly state?: string | undefined;
  readonly datastore?: string | undefined;
  readonly admin?: string | undefined;
}

function plugin(t: ExecutionContext, at: Place, places: Places = {}, prefix: readonly string[] = []): Program {
  const { socket = 'vmdk.sock', state = 'state', datastore = 'ds', admin = 'admin.sock' } = places;
  const args = [
    ...['--embedded', '--docker-socket', '', '--mount-root', at.path('mnt')],
    ...['--socket', at.path(socket), '--state-dir', at.path(state)],
    ...['--datastore', at.path(datastore), '--admin-socket', at.path(admin)],
  ];
  return startProgram(t, 'vmdk-plugin', args, prefix);
}

test('two plugins: whatever they have in common, the second is refused by the first one’s number', async (t) => {
  const at = await place(t);
  const first = plugin(t, at);
  await first.says('plugin ready');
  const others = { socket: 'other.sock', state: 'other', datastore: 'other-ds', admin: 'other-admin.sock' };
  for (const [shared, mention] of [
    [{ socket: undefined }, `cannot listen on ${at.path('vmdk.sock')}`],
    [{ state: undefined }, `the state directory ${at.path('state')} is in use`],
    [{ datastore: undefined }, `datastore local (${at.path('ds')}) is in use`],
    [{ admin: undefined }, `cannot listen on ${at.path('admin.sock')}`],
  ] as const) {
    const { code, log } = await plugin(t, at, { ...others, ...shared }).ended();
    t.is(code, 1);
    t.regex(log, /^vmdk-plugin: [^\n]+\n$/);
    t.true(log.includes(mention), `said: ${log}`);
    t.regex(log, new RegExp(`process ${first.pid}\\b`));
  }
  t.like(await getJson(at.path('vmdk.sock'), '/health'), { status: 'ok' });
  t.notRegex(first.log(), /lost the service|took over/);
});

test('two plugins: after one was killed, the next starts at once on what it left', async (t) => {
  const at = await place(t);
  const first = plugin(t, at);
  await first.says('plugin ready');
  await first.kill();
  await plugin(t, at).says('plugin ready');
  t.like(await getJson(at.path('vmdk.sock'), '/health'), { status: 'ok' });
});

test('two plugins: one in a container of its own and one outside exclude each other', async (t) => {
  const at = await place(t);
  await mkdir(at.path('state'));
  const inside = plugin(t, at, {}, ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']);
  await inside.says('plugin ready');
  const { log } = await plugin(t, at, { socket: 'other.sock', admin: 'x.sock', datastore: 'y' }).ended();
  t.regex(log, /state directory .* is in use by another plugin, process \d+; stop that one first/);
});
