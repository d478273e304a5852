import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { socketOwner, tryLock } from '../../native/file-lock.ts';
import { scratch } from './support/scratch.ts';

const module = join(import.meta.dirname, '../../native/file-lock.ts');

interface Holder {
  readonly pid: number;
  /** Of a program that it started. */
  readonly childPid: number;
  kill(): Promise<void>;
}

/** A process that locks the file, starts a program, and lives until it is killed; that program lives on. */
async function holder(t: ExecutionContext, path: string): Promise<Holder> {
  const script = `
    import { spawn } from 'node:child_process';
    import { tryLock } from ${JSON.stringify(module)};
    const { lock } = await tryLock(${JSON.stringify(path)});
    const child = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true });
    console.log(lock ? child.pid : 'refused');
    setInterval(() => lock, 1000);`;
  const locking = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = async (): Promise<void> => {
    if (locking.exitCode !== null || locking.signalCode !== null) return;
    locking.kill('SIGKILL');
    await once(locking, 'close');
  };
  t.teardown(kill);
  const [line] = (await once(locking.stdout, 'data')) as [Buffer];
  const childPid = Number(line.toString());
  t.teardown(() => process.kill(childPid, 'SIGKILL'));
  return { pid: locking.pid ?? 0, childPid, kill };
}

test('file lock: the second is told who has it, and gets it when that one lets go', async (t) => {
  const path = (await scratch(t)).path('lock');
  const first = await tryLock(path);
  t.is((await tryLock(path)).holder, `process ${process.pid}`);
  first.lock?.[Symbol.dispose]();
  first.lock?.[Symbol.dispose]();
  const next = await tryLock(path);
  t.is(next.holder, undefined);
  next.lock?.[Symbol.dispose]();
});

test('file lock: it ends with a process that is killed, though a program which that one started lives on', async (t) => {
  const path = (await scratch(t)).path('lock');
  const first = await holder(t, path);
  t.is((await tryLock(path)).holder, `process ${first.pid}`);
  await first.kill();
  const next = await tryLock(path);
  t.truthy(next.lock);
  t.notThrows(() => process.kill(first.childPid, 0));
  next.lock?.[Symbol.dispose]();
});

test('file lock: what a file says of a holder that is gone is not believed', async (t) => {
  const path = (await scratch(t)).path('lock');
  await writeFile(path, '1\n');
  const { lock } = await tryLock(path);
  t.truthy(lock);
  t.is(Number(await readFile(path, 'utf8')), process.pid);
  lock?.[Symbol.dispose]();
});

test('file lock: it holds between containers, and a holder outside is told as such', async (t) => {
  const path = (await scratch(t)).path('lock');
  const { lock } = await tryLock(path);
  const script = `import { tryLock } from ${JSON.stringify(module)};
    console.log((await tryLock(${JSON.stringify(path)})).holder);`;
  const inside = ['--pid', '--fork', '--mount-proc', process.execPath, '--input-type=module', '-e', script];
  const child = spawn('unshare', inside, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk) => (said += String(chunk)));
  await once(child, 'close');
  t.regex(said, new RegExp(`cannot be seen from here.* number there is ${process.pid}\\n$`));
  lock?.[Symbol.dispose]();
});

test('file lock: what cannot be opened ends with the error of the system', async (t) => {
  const place = await scratch(t);
  await t.throwsAsync(tryLock(place.path('none/lock')), { code: 'ENOENT' });
  await t.throwsAsync(tryLock(place.folder), { code: 'EISDIR' });
});

test('socket owner: the process that listens is told; of a dead socket nobody', async (t) => {
  const path = (await scratch(t)).path('s');
  const server = createServer((socket) => socket.end());
  server.listen(path);
  await once(server, 'listening');
  t.is(await socketOwner(path), process.pid);
  server.close();
  await once(server, 'close');
  t.is(await socketOwner(path), undefined);
});
