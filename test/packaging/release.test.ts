/** What a release is checked for before anything of it is given away. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { checksumsOf } from '../../packaging/release/checksums.ts';
import { problemsOfVersions } from '../../packaging/release/versions.ts';
import { mustRun } from '../../scripts/command.ts';

const root = join(import.meta.dirname, '../..');

function changelog(unreleased: string, ...sections: readonly string[]): string {
  const parts = sections.map((heading) => `## ${heading}\n\n### Fixed\n\n- Something.\n`);
  return ['# Changelog\n', `## Unreleased\n${unreleased}`, ...parts].join('\n');
}
const news = '\n### Added\n\n- Something new.\n';

test('release: what states the version agrees', async (t) => {
  const read = async (name: string): Promise<{ readonly version: string }> =>
    JSON.parse(await readFile(join(root, name), 'utf8')) as { readonly version: string };
  t.deepEqual(
    problemsOfVersions({
      version: (await read('package.json')).version,
      lockVersion: (await read('package-lock.json')).version,
      changelog: await readFile(join(root, 'CHANGELOG.md'), 'utf8'),
    }),
    [],
  );
});

const cases: readonly (readonly [string, string, readonly RegExp[]])[] = [
  ['the next version', changelog(news, '0.9.0 - 2026-01-01'), []],
  ['the version that was just released', changelog('', '1.0.0 - 2026-02-01', '0.9.0 - 2026-01-01'), []],
  ['news after the release of that version', changelog(news, '1.0.0 - 2026-02-01'), [/raise the version/]],
  ['no word of it', changelog('', '0.9.0 - 2026-01-01'), [/says nothing of 1\.0\.0/]],
  ['an earlier one again', changelog('', '1.1.0 - 2026-02-01', '1.0.0 - 2026-01-01'), [/says nothing of 1\.0\.0/]],
];
for (const [what, text, expected] of cases) {
  test(`release: the change log with ${what}`, (t) => {
    const problems = problemsOfVersions({ version: '1.0.0', lockVersion: '1.0.0', changelog: text });
    t.is(problems.length, expected.length);
    for (const [place, pattern] of expected.entries()) t.regex(problems[place] ?? '', pattern);
  });
}

test('release: a section without a date is no section', (t) => {
  const stated = { version: '1.0.0', lockVersion: '1.0.0', changelog: changelog('', '1.0.0') };
  t.throws(() => problemsOfVersions(stated), { message: /line 7/ });
});

test('release: a lock file of another version is told with what to do', (t) => {
  const stated = { version: '1.0.0', lockVersion: '0.9.0', changelog: changelog(news) };
  t.regex(problemsOfVersions(stated).join(), /package-lock\.json says 0\.9\.0, and package\.json 1\.0\.0: run npm/);
});

test('release: sha256sum takes the checksums, and finds a changed file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'release-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'sub folder'));
  await writeFile(join(folder, 'sub folder/one'), 'one');
  await writeFile(join(folder, 'two'), 'two');
  const sums = join(folder, 'SHA256SUMS');
  await writeFile(sums, await checksumsOf(folder));
  const check = ['sh', '-c', 'cd "$1" && sha256sum --check --strict SHA256SUMS', 'sh', folder] as const;
  t.is(await mustRun(check), 'sub folder/one: OK\ntwo: OK\n');
  await writeFile(join(folder, 'two'), 'three');
  await t.throwsAsync(mustRun(check), { message: /1 computed checksum did NOT match/ });
});
