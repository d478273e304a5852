import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import test from 'ava';

const logging = join(import.meta.dirname, '../../common/logging.ts');

/** What a process of its own writes: the logger writes to standard error. */
function linesOf(script: string): Record<string, unknown>[] {
  const program = `import { createLogger, failureFields } from ${JSON.stringify(logging)};
    import { Fault } from ${JSON.stringify(join(import.meta.dirname, '../../common/fault.ts'))};
    ${script}`;
  const { stderr, status } = spawnSync(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  if (status !== 0) throw new Error(stderr);
  return stderr
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('logging: a line is one JSON object with its message, its fields, and those of its logger and parents', (t) => {
  const [line] = linesOf(`createLogger('info', { a: 1 }).child({ b: 2 }).info('hello', { c: 3, a: 4 });`);
  t.like(line, { level: 'info', message: 'hello', a: 4, b: 2, c: 3 });
  t.regex(String(line?.['timestamp']), /^\d{4}-\d\d-\d\dT/);
});

test('logging: lines below the level are dropped, also by children', (t) => {
  const lines = linesOf(`const l = createLogger('warn'); l.info('a'); l.child({}).debug('b'); l.child({}).error('c');`);
  t.deepEqual(
    lines.map(({ message }) => message),
    ['c'],
  );
});

test('logging: only bugs carry a stack', (t) => {
  const [busy, bug] = linesOf(`const l = createLogger('info');
    l.error('x', failureFields(new Fault('Busy', 'later', { cause: new Error('why') })));
    l.error('y', failureFields(new TypeError('oops')));`);
  t.like(busy, { code: 'Busy', error: 'later', cause: 'why' });
  t.is(busy?.['stack'], undefined);
  t.regex(String(bug?.['stack']), /TypeError: oops/);
});
