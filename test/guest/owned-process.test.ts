/** What keeps QEMU and its vsock device from outliving a test run. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { killIfAlive, processTree, untilEnded } from '../docker/harness/processes.ts';
import { OwnedProcess } from './owned-process.ts';

const sleeper = ['sh', '-c', 'echo here; exec sleep 1234'] as const;

test.serial('owned process: it has ended when it was disposed', async (t) => {
  const owned = new OwnedProcess(sleeper);
  await once(owned.output, 'data');
  const pids = await childrenOf(process.pid);
  await owned[Symbol.asyncDispose]();
  await t.notThrowsAsync(owned.ended);
  t.true(pids.length > 0);
  await t.notThrowsAsync(untilEnded(pids, 1000));
});

test.serial('owned process: when its owner is killed, it is killed as well', async (t) => {
  const script = `
    import { OwnedProcess } from ${JSON.stringify(join(import.meta.dirname, 'owned-process.ts'))};
    new OwnedProcess(${JSON.stringify(sleeper)}).output.pipe(process.stdout);
  `;
  const owner = spawn(process.execPath, ['--input-type=module-typescript', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => owner.kill('SIGKILL'));
  await once(owner.stdout, 'data');
  const children = await childrenOf(owner.pid ?? 0);
  t.teardown(() => children.forEach(killIfAlive));
  t.is(children.length, 1);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  await t.notThrowsAsync(untilEnded(children, 10_000));
});

test.serial('owned process: a program that is not there ends at once, and says why', async (t) => {
  await using owned = new OwnedProcess(['/no/such/program']);
  owned.output.resume();
  await owned.ended;
  t.regex(owned.complaints, /no\/such\/program/);
});

async function childrenOf(parent: number): Promise<readonly number[]> {
  const tree = await processTree((pid) => Promise.resolve(pid === parent));
  return tree.filter((pid) => pid !== parent);
}
