import test from 'ava';
import { isAsShown, isShownToFail, stepsOf } from './console.ts';
import { blocksOf, proseOf } from './documents.ts';

const example = `Text.

- In a list:

  \`\`\`console
  # mkdir -p /srv/fast \\
      /srv/big
  $ docker volume ls
  DRIVER    VOLUME NAME
  vmdk      db
  \`\`\`
`;

test('documents: a block is taken with its place, its language and without its indent', (t) => {
  const [block, ...more] = blocksOf('a.md', example);
  t.deepEqual(more, []);
  t.like(block, { line: 6, language: 'console' });
  t.is(block?.lines[0], '# mkdir -p /srv/fast \\');
  t.is(proseOf(example).trim(), 'Text.\n\n- In a list:');
  t.throws(() => blocksOf('a.md', '```json\n{}\n'), { message: 'a.md:2: this block has no end' });
});

test('console: a command is what stands after a prompt, to the end of its last line; the rest is what it shows', (t) => {
  const [block] = blocksOf('a.md', example);
  t.deepEqual(block && stepsOf(block), [
    { command: 'mkdir -p /srv/fast \\\n    /srv/big', output: undefined, place: 'a.md:6' },
    { command: 'docker volume ls', output: 'DRIVER    VOLUME NAME\nvmdk      db', place: 'a.md:8' },
  ]);
  t.throws(() => stepsOf({ file: 'a.md', line: 1, language: 'console', lines: ['docker ps'] }), {
    message: /no prompt/,
  });
});

test('console: what is seen is what is shown, but where the block shows a gap', (t) => {
  t.true(isAsShown('vmdk      db', 'vmdk      db\n'));
  t.false(isAsShown('vmdk      db', 'vmdk      db\nvmdk      db2\n'));
  t.false(isAsShown('(1.5 s)', '(1x5 s)'));
  t.true(isAsShown('took … ms, …', 'took 12 ms, well\n'));
  t.false(isAsShown('took … ms', 'took\n12 ms'));
  t.true(isAsShown('first\n…\nlast', 'first\na\nb\nlast'));
  t.true(isAsShown('first\n…\nlast', 'first\nlast'));
  t.false(isAsShown('first\n…\nlast', 'first\na\nlast one'));
  t.true(isAsShown('…', ''));
});

test('console: a command that is shown to fail is one whose output begins so', (t) => {
  const step = { command: 'false', place: 'a.md:1' };
  t.true(isShownToFail({ ...step, output: 'Error response from daemon: …' }));
  t.true(isShownToFail({ ...step, output: 'ERROR: …' }));
  t.false(isShownToFail({ ...step, output: 'no Error' }));
  t.false(isShownToFail({ ...step, output: undefined }));
});
