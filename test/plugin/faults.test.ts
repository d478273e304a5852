/** Starts that cannot succeed, or not yet: what the user finds in the plugin's log, as a process of its own. */
import { access, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Fault } from '../../common/fault.ts';
import { scratch, type Scratch } from '../native/support/scratch.ts';
import { startService } from '../native/channel/support/service.ts';
import { getJson } from '../soak/get-json.ts';
import { type Program, startProgram } from '../support/program.ts';

function plugin(t: ExecutionContext, at: Scratch, state: string, more: readonly string[] = []): Program {
  const service = more.length > 0 ? more : ['--service', `unix://${at.path('none.sock')}`];
  const places = ['--socket', at.path('vmdk.sock'), '--mount-root', at.path('mnt'), '--state-dir', state];
  return startProgram(t, 'vmdk-plugin', [...places, '--docker-socket', '', ...service]);
}

async function refusal(t: ExecutionContext, at: Scratch, state: string): Promise<string> {
  const { code, log } = await plugin(t, at, state).ended();
  t.is(code, 1);
  t.regex(log, /^vmdk-plugin: [^\n]+\n$/);
  return log;
}

test('plugin faults: without its service it says so and what to do, is not there for Docker, and serves once it answers', async (t) => {
  const at = await scratch(t);
  const path = at.path('service.sock');
  const started = plugin(t, at, at.path('deep/state'), ['--service', `unix://${path}`]);
  await started.says('Docker is not served before the service has answered; see that vmdkopsd runs there');
  t.true(started.log().includes(`"address":"unix://${path}"`));
  await t.throwsAsync(access(at.path('vmdk.sock')), { code: 'ENOENT' });
  t.is((await stat(at.path('deep/state'))).mode & 0o777, 0o700);
  await using service = await startService({ path });
  await started.says('plugin ready');
  t.like(await getJson(at.path('vmdk.sock'), '/health'), { status: 'ok', host: { address: service.address } });
  t.is((await started.stop()).code, 0);
});

test('plugin faults: a service of another protocol is told in its own words, while Docker waits', async (t) => {
  const at = await scratch(t);
  await using service = await startService({
    handlers: {
      hello: () => {
        throw new Fault('ProtocolMismatch', 'the plugin is too old; upgrade the plugin to 9.0.0');
      },
    },
  });
  const started = plugin(t, at, at.path('state'), ['--service', service.address]);
  await t.notThrowsAsync(started.says('upgrade the plugin to 9.0.0'));
});

test('plugin faults: a state directory that is no directory, or below one, is named with its key', async (t) => {
  const at = await scratch(t);
  await writeFile(at.path('file'), '');
  for (const [state, why] of [
    [at.path('file'), 'EEXIST'],
    [at.path('file/below'), 'ENOTDIR'],
  ] as const) {
    const log = await refusal(t, at, state);
    t.true(log.includes(`key stateDir has the value "${state}": it cannot be used: ${why}`), `said: ${log}`);
    t.regex(log, /make it a directory that root can write to/);
  }
});

test('plugin faults: a state directory that is read-only is named with its key, whatever is in it', async (t) => {
  const at = await scratch(t);
  const state = await at.directory('state');
  await at.mount({ source: 'tmpfs', target: state, fstype: 'tmpfs', flags: ['ro'] });
  t.regex(await refusal(t, at, state), /key stateDir .* it cannot be used: EROFS: read-only file system/);
  t.regex(
    await refusal(t, at, join(state, 'below')),
    /key stateDir .* it cannot be used: EROFS: read-only file system/,
  );
});

test('plugin faults: a state directory on a full disk is said to be that, and is as it was', async (t) => {
  const at = await scratch(t);
  const state = await at.directory('state');
  await at.mount({ source: 'tmpfs', target: state, fstype: 'tmpfs', data: 'size=64k' });
  await mkdir(join(state, 'kept'));
  await writeFile(join(state, 'filler'), Buffer.alloc(1024 * 1024)).catch(() => undefined);
  t.regex(await refusal(t, at, state), /the state directory .* is on a full disk: ENOSPC: .*; make room there\n$/);
  t.deepEqual((await readdir(state)).filter((name) => name !== 'lock' && name !== 'references.log.new').toSorted(), [
    'filler',
    'kept',
  ]);
});
