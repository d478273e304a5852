import test from 'ava';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pages } from '../../scripts/docs/pages.ts';
import { roffOf } from '../../scripts/docs/roff.ts';
import { mustRun, runCommand } from '../../scripts/command.ts';
import { projectFolder } from './documents.ts';

/** The pages have none: the same sources make the same page, whenever. */
const noDate = 'missing date';
/** How formatters print what is bold. */
const overstruck = new RegExp(`.${String.fromCodePoint(8)}`, 'g');

for (const page of pages) {
  test(`man: ${page.name}(${page.section}) is a page with nothing for mandoc to warn of`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'vmdk-man-'));
    t.teardown(() => rm(folder, { recursive: true }));
    const file = join(folder, `${page.name}.${page.section}`);
    await writeFile(file, roffOf(page, '1.2.3'));
    const { stdout, stderr } = await runCommand(['mandoc', '-T', 'lint', '-W', 'warning', file], { env: process.env });
    const warnings = (stdout + stderr).split('\n').filter((line) => line !== '' && !line.includes(noDate));
    t.deepEqual(warnings, []);
    const shown = await mustRun(['mandoc', '-T', 'utf8', '-O', 'width=200', file], { env: process.env });
    const text = shown.replaceAll(overstruck, '');
    t.true(text.includes(`${page.name} - `), `it shows: ${text.slice(0, 400)}`);
  });
}

test('man: text that looks like a request, and backslashes, are shown as they are', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vmdk-man-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, 'page.7');
  const parts = [{ heading: 'Text', blocks: ['.SH is `\\fB` and --flag', { code: ["'quoted' \\n"] }] }];
  await writeFile(file, roffOf({ name: 'page', section: 7, title: 'a page', parts }, '1'));
  const text = await mustRun(['mandoc', '-T', 'ascii', file], { env: process.env });
  t.regex(text.replaceAll(overstruck, ''), /\.SH is \\fB and --flag\n[^]*'quoted' \\n/);
});

test('man: vmdkops(8) has each command and each option that the program tells of', async (t) => {
  const page = pages.find(({ name }) => name === 'vmdkops');
  const told = JSON.stringify(page?.parts);
  const commands = [[], ['volume'], ['volume', 'ls'], ['volume', 'inspect'], ['status'], ['check']];
  const ask = (command: readonly string[]): Promise<string> =>
    mustRun([join(projectFolder, 'bin/vmdkops'), ...command, '--help'], { env: process.env });
  for (const help of await Promise.all(commands.map(ask))) {
    const names = Array.from(help.matchAll(/^ {2}(\w+) (?=.*)/gm), ([, name = '']) => name).filter(
      (name) => name !== 'name',
    );
    const flags = help.match(/(?<=[ ,])--[a-z]+/g) ?? [];
    for (const word of [...names, ...flags]) t.true(told.includes(word), `it lacks ${word}`);
  }
});
