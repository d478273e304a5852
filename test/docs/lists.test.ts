/** Lists in the documents that the source has, too: neither may have more than the other. */
import test from 'ava';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { optionTable } from '../../common/volume-options.ts';
import { documentFiles, projectFolder, readDocument } from './documents.ts';

test('docs/options.md: each option has the values and the default that the product has, and there is no other', async (t) => {
  const rows = (await readDocument('docs/options.md')).matchAll(
    /^\| `(?<name>[\w-]+)` \| (?<allowed>.+) \| (?<preset>.+) \|$/gm,
  );
  const told = Array.from(rows, ({ groups: { name = '', allowed = '', preset = '' } = {} }) => [
    name,
    { default: preset.replaceAll('`', ''), allowed },
  ]);
  t.deepEqual(Object.fromEntries(told), { ...optionTable });
});

test('README.md: each option is in its table, with its default', async (t) => {
  const readme = await readDocument('README.md');
  for (const [name, { default: preset }] of Object.entries(optionTable)) {
    const row =
      readme.split('\n').find((line) => line.startsWith('| `') && line.split('|')[1]?.includes(`\`${name}\``)) ?? '';
    t.not(row, '', `no row for ${name}`);
    t.true(preset === 'none' || row.includes(`\`${preset}\``), `${name} has another default than ${preset}`);
  }
});

test('docs/operations.md: each metric is in its table, and there is no other', async (t) => {
  const source = await readFile(join(projectFolder, 'plugin/doors/plugin-metrics.ts'), 'utf8');
  const names = (text: string, quote: string): readonly string[] =>
    [
      ...new Set(
        Array.from(text.matchAll(new RegExp(`${quote}((?:vmdk|process)_\\w+)${quote}`, 'g')), ([, name = '']) => name),
      ),
    ].sort();
  t.deepEqual(names(await readDocument('docs/operations.md'), '`'), names(source, "'"));
});

test('documents: each npm script that they name exists', async (t) => {
  const { scripts } = JSON.parse(await readFile(join(projectFolder, 'package.json'), 'utf8')) as { scripts: object };
  for (const file of [...(await documentFiles()), 'CONTRIBUTING.md']) {
    for (const [, name = ''] of (await readDocument(file)).matchAll(/npm run ([\w:]+)/g)) {
      t.true(name in scripts, `${file}: npm run ${name}`);
    }
  }
});

/** The code of the product, a line each: a message stands in one. */
async function sourceLines(): Promise<readonly string[]> {
  const folders = ['common', 'native', 'plugin', 'esx-service'];
  const files = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(projectFolder, folder), { recursive: true }))
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join(projectFolder, folder, name)),
    ),
  );
  const texts = await Promise.all(files.flat().map((file) => readFile(file, 'utf8')));
  return texts.flatMap((text) => text.split('\n'));
}

test('docs/troubleshooting.md: each message that it quotes is one that the product has', async (t) => {
  const lines = await sourceLines();
  const rows = [...(await readDocument('docs/troubleshooting.md')).matchAll(/^\| `(?<message>[^|]+)` \|/gm)];
  t.true(rows.length > 15, `only ${rows.length} messages`);
  for (const { groups: { message = '' } = {} } of rows) {
    const parts = message.split('…').map((part) => part.trim());
    const isThere = lines.some((line) => {
      let from = 0;
      return parts.every((part) => {
        const at = line.indexOf(part, from);
        from = at + part.length;
        return at >= 0;
      });
    });
    t.true(isThere, `no source has the message "${message}"`);
  }
});

test('documents: each file of ours that they name, and each page that they link to, is there', async (t) => {
  for (const file of await documentFiles()) {
    const text = await readDocument(file);
    const named = Array.from(
      text.matchAll(/`((?:common|native|plugin|esx-service|scripts|test|docs|bin)\/[\w./-]+)`/g),
      ([, path = '']) => path,
    );
    const linked = Array.from(text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g), ([, path = '']) =>
      join(dirname(file), path),
    );
    for (const path of [...named, ...linked])
      await t.notThrowsAsync(stat(join(projectFolder, path)), `${file}: ${path}`);
  }
});
