/** Programs run by the library's threads, and what they leave of themselves: nothing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { type ProgramEnd, type ProgramRequest, runProgram } from '../../native/child-processes.ts';
import { eventually, nativeThreads, openSockets } from './support/process-state.ts';
import { run, scratch } from './support/scratch.ts';

const never = new AbortController().signal;
const env = { PATH: '/usr/bin:/bin' };

function shell(script: string, more: Partial<ProgramRequest> = {}, signal = never): Promise<ProgramEnd> {
  return runProgram({ path: '/bin/sh', args: ['-c', script], env, ...more }, signal);
}

/** Those of this process, whichever of its threads started them, and whether they have been reaped or not. */
async function children(): Promise<string[]> {
  const lists = (await readdir('/proc/self/task')).map((id) =>
    readFile(`/proc/self/task/${id}/children`, 'utf8').catch(() => ''),
  );
  return (await Promise.all(lists)).flatMap((list) => list.split(' ')).filter((number) => number !== '');
}

/** One that has died, but was not reaped by the system's first process yet, does not run. */
async function isRunning(process: number): Promise<boolean> {
  const state = await readFile(`/proc/${process}/stat`, 'utf8').catch(() => '');
  return state !== '' && !/\) [ZX] /.test(state);
}

/** Every test leaves the process as it was; so they run one after the other. */
let socketsBefore = 0;
test.serial.beforeEach(async () => {
  socketsBefore = await openSockets();
});
test.serial.afterEach.always(async (t) => {
  t.deepEqual(await children(), []);
  await eventually('the threads to end', async () => (await nativeThreads()).length === 0);
  await eventually('the sockets to close', async () => (await openSockets()) <= socketsBefore);
});

for (const code of [0, 1, 127, 255]) {
  test.serial(`program: its exit code ${code} is told`, async (t) => {
    t.deepEqual(await shell(`exit ${code}`), { code, signal: undefined, output: '' });
  });
}

test.serial('program: the signal that ended it is told', async (t) => {
  t.deepEqual(await shell('kill -15 $$'), { code: undefined, signal: 15, output: '' });
});

test.serial('program: its arguments arrive as they are', async (t) => {
  const args = ['%s\\n', 'a b', '$HOME', ';', '', '*', '"', 'é'];
  const { output } = await runProgram({ path: '/usr/bin/printf', args, env }, never);
  t.is(output, `${args.slice(1).join('\n')}\n`);
});

test.serial('program: its environment is the given one, and none when none is given', async (t) => {
  const path = '/usr/bin/env';
  t.is((await runProgram({ path, args: [], env: { A: 'b=c', D: '' } }, never)).output, 'A=b=c\nD=\n');
  t.is((await runProgram({ path, args: [] }, never)).output, '');
});

test.serial('program: its input is empty', async (t) => {
  t.is((await shell('cat; echo end')).output, 'end\n');
});

test.serial('program: it inherits no descriptor and no signal setting', async (t) => {
  t.is((await shell('ls /proc/$$/fd')).output, '0\n1\n2\n');
  // Node ignores SIGPIPE; here the standard signals.
  t.is(
    (await shell("sed -nE 's/^Sig(Blk|Ign):.*(.{7})$/\\1 \\2/p' /proc/self/status")).output,
    'Blk 0000000\nIgn 0000000\n',
  );
});

test.serial('program: both its outputs are kept in their order, or its error output alone', async (t) => {
  const script = 'echo one; echo two >&2; echo three';
  t.is((await shell(script)).output, 'one\ntwo\nthree\n');
  t.is((await shell(script, { ignoresStdout: true })).output, 'two\n');
});

test.serial('program: of much output the end is kept', async (t) => {
  const { output } = await shell('seq 200000');
  t.is(output.length, 64 * 1024);
  t.true(output.endsWith('\n199999\n200000\n'));
  t.is((await shell('printf 123456789', { outputLimitBytes: 4 })).output, '6789');
  t.is((await shell('echo lost', { outputLimitBytes: 0 })).output, '');
});

test.serial('program: output is cut between characters', async (t) => {
  t.is((await shell('printf ééé', { outputLimitBytes: 3 })).output, 'é');
  t.is((await shell('printf 🙂', { outputLimitBytes: 3 })).output, '');
  t.is((await shell('printf é', { outputLimitBytes: 2 })).output, 'é');
});

test.serial('program: one that is missing or cannot be executed is named', async (t) => {
  const place = await scratch(t);
  const path = place.path('program');
  const error = await t.throwsAsync(runProgram({ path, args: [] }, never), { code: 'ENOENT' });
  t.like(error, { syscall: 'spawn', path });
  t.true(error.message.includes(path));
  await writeFile(path, '#!/bin/sh\n');
  await t.throwsAsync(runProgram({ path, args: [] }, never), { code: 'EACCES' });
  await chmod(path, 0o755);
  t.like(await runProgram({ path, args: [] }, never), { code: 0 });
});

test.serial('program: a path that is not absolute, and a text with a NUL inside, are refused', async (t) => {
  await t.throwsAsync(runProgram({ path: 'sh', args: [] }, never), { code: 'EINVAL' });
  await t.throwsAsync(runProgram({ path: '/bin/sh', args: ['a\0b'] }, never), { code: 'ERR_INVALID_ARG_VALUE' });
});

test.serial('program: what it leaves running in its group ends with it', async (t) => {
  const { code, output } = await shell('sleep 1000 > /dev/null 2>&1 & echo $!; exit 3');
  t.is(code, 3);
  t.false(await isRunning(Number(output)));
});

interface Stubborn {
  readonly running: Promise<ProgramEnd>;
  readonly child: number;
  readonly grandchild: number;
}

/** Both ignore SIGTERM, and the grandchild holds none of the outputs. */
async function stubborn(t: ExecutionContext, signal: AbortSignal): Promise<Stubborn> {
  const place = await scratch(t);
  const [childFifo, grandchildFifo] = [place.path('child'), place.path('grandchild')];
  await run('mkfifo', childFifo, grandchildFifo);
  const sleeper = (fifo: string): string => `sh -c 'echo $$ > ${fifo}; exec sleep 1000'`;
  const script = `trap '' TERM; ${sleeper(grandchildFifo)} > /dev/null 2>&1 & exec ${sleeper(childFifo)}`;
  const running = shell(script, {}, signal);
  running.catch(() => undefined);
  const [child, grandchild] = [await readFile(childFifo, 'utf8'), await readFile(grandchildFifo, 'utf8')].map(Number);
  if (child === undefined || grandchild === undefined) throw new Error('no process numbers came');
  return { running, child, grandchild };
}

test.serial('abort: whatever it ignores, the program and its group are gone when the run rejects', async (t) => {
  const giveUp = new AbortController();
  const { running, child, grandchild } = await stubborn(t, giveUp.signal);
  t.true((await isRunning(child)) && (await isRunning(grandchild)));
  const reason = new Error('enough');
  giveUp.abort(reason);
  const error = await t.throwsAsync(running);
  t.is(error, reason);
  t.throws(() => process.kill(child, 0), { code: 'ESRCH' });
  t.false(await isRunning(grandchild));
});

test.serial('abort: a program is not even started when it comes before', async (t) => {
  const place = await scratch(t);
  const reason = new Error('enough');
  const running = shell(`touch ${place.path('started')}`, {}, AbortSignal.abort(reason));
  const error = await t.throwsAsync(running);
  t.is(error, reason);
  t.deepEqual(await readdir(place.folder), []);
});

/** Aborted when another program has ended: now before its own end, now after it. */
async function raced(): Promise<unknown> {
  const giveUp = new AbortController();
  const running = Promise.allSettled([shell('echo text', {}, giveUp.signal)]);
  await shell('exit 0');
  giveUp.abort('enough');
  const [ended] = await running;
  return ended.status === 'fulfilled' ? ended.value.output : ended.reason;
}

test.serial('abort: at any moment it ends the run with its reason, or finds it ended', async (t) => {
  const outcomes = await Promise.all(Array.from({ length: 100 }, raced));
  t.true(outcomes.every((outcome) => outcome === 'text\n' || outcome === 'enough'));
});

test.serial('programs: fifty at once each have their own end, and Node’s own children have theirs', async (t) => {
  const own = Array.from({ length: 10 }, async (_, index) => {
    const [code] = (await once(spawn('/bin/sh', ['-c', `exit ${index}`]), 'exit')) as [number];
    return code;
  });
  const runs = Array.from({ length: 50 }, (_, index) => shell(`echo ${index}; exit ${index}`));
  t.deepEqual(
    await Promise.all(runs),
    runs.map((_, index) => ({ code: index, signal: undefined, output: `${index}\n` })),
  );
  t.deepEqual(await Promise.all(own), [...own.keys()]);
});

/** The middle one of the times, in milliseconds, that a call of `start` keeps the event loop from everything else. */
async function blockingMs(start: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 21; round++) {
    const before = performance.now();
    const running = start();
    times.push(performance.now() - before);
    await running;
  }
  return times.toSorted((one, other) => one - other)[10] ?? NaN;
}

test.serial('programs: starting one keeps the event loop for less than half as long as Node’s own way', async (t) => {
  // What the process holds is what a fork has to copy.
  const ballast = Buffer.alloc(64 * 1024 * 1024, 1);
  const ours = await blockingMs(() => runProgram({ path: '/bin/true', args: [] }, never));
  const own = await blockingMs(() => once(spawn('/bin/true', { stdio: ['ignore', 'ignore', 'pipe'] }), 'close'));
  t.log(`${ours.toFixed(3)} ms, child_process.spawn ${own.toFixed(3)} ms`);
  t.true(ours < own / 2);
  t.is(ballast[0], 1);
});

test.serial('a program dies with the process that runs it, however that ends', async (t) => {
  const place = await scratch(t);
  const script = `
    import { runProgram } from ${JSON.stringify(new URL('../../native/child-processes.ts', import.meta.url).href)};
    const args = ['-c', 'echo $$ > ' + process.argv[1] + '; exec sleep 1000'];
    await runProgram({ path: '/bin/sh', args, env: { PATH: '/usr/bin:/bin' } }, new AbortController().signal);`;
  const file = place.path('number');
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script, file], { stdio: 'inherit' });
  const number = async (): Promise<number> => Number(await readFile(file, 'utf8').catch(() => ''));
  await eventually('the program to begin', async () => (await number()) > 0);
  const ended = once(parent, 'exit');
  parent.kill('SIGKILL');
  await ended;
  const program = await number();
  await eventually('the program to end', async () => !(await isRunning(program)));
  t.false(await isRunning(program));
});
