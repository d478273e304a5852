import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { DurableFolder } from '../../common/durable-file.ts';

async function open(t: ExecutionContext): Promise<{ folder: DurableFolder; files: () => Promise<string[]> }> {
  const path = await mkdtemp(join(tmpdir(), 'durable-'));
  const folder = await DurableFolder.open(path);
  t.teardown(async () => {
    await folder[Symbol.asyncDispose]();
    await rm(path, { recursive: true });
  });
  return { folder, files: async () => (await readdir(path)).sort() };
}

test('durable folder: a file made aside gets its name, unless that is taken', async (t) => {
  const { folder, files } = await open(t);
  const aside = folder.newAside();
  await folder.writeAside(aside, (file) => file.writeFile('new'));
  await folder.publish(aside, 'a');
  await writeFile(folder.pathOf('b'), 'old');
  await t.throwsAsync(folder.publish(aside, 'b'), { code: 'EEXIST' });
  await folder.remove(aside);
  await folder.remove(aside);
  t.deepEqual(await files(), ['a', 'b']);
  t.is(await readFile(folder.pathOf('a'), 'utf8'), 'new');
  t.is(await readFile(folder.pathOf('b'), 'utf8'), 'old');
});

test('durable folder: what fails while it is written leaves nothing, and no name is written over', async (t) => {
  const { folder, files } = await open(t);
  const fails = folder.writeAside(folder.newAside(), () => Promise.reject(new Error('no')));
  await t.throwsAsync(fails, { message: 'no' });
  t.deepEqual(await files(), []);
  await writeFile(folder.pathOf('a'), 'old');
  await t.throwsAsync(
    folder.writeAside('a', (file) => file.writeFile('new')),
    { code: 'EEXIST' },
  );
  t.is(await readFile(folder.pathOf('a'), 'utf8'), 'old');
});

test('durable folder: replacing gives a reader the old or the new content, whole', async (t) => {
  const { folder, files } = await open(t);
  const texts = ['a', 'b'].map((letter) => letter.repeat(100_000));
  await folder.replace('file', texts[0] ?? '');
  const seen = new Set<string>();
  const writing = (async () => {
    for (let round = 0; round < 20; round += 1) await folder.replace('file', texts[round % 2] ?? '');
  })();
  for (let round = 0; round < 40; round += 1) seen.add(await readFile(folder.pathOf('file'), 'utf8'));
  await writing;
  t.true([...seen].every((text) => texts.includes(text)));
  t.deepEqual(await files(), ['file']);
});

test('durable folder: many flushes at once all resolve', async (t) => {
  const { folder } = await open(t);
  await t.notThrowsAsync(Promise.all(Array.from({ length: 50 }, () => folder.sync())));
});
