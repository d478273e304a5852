/** What the documents claim is shown by tests that exist: each row of a table of claims names one, by file and title. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { documentFiles } from './documents.ts';

const root = join(import.meta.dirname, '../..');
const rowPattern = /^\| *(?<claim>.+?) *\| *(?<proof>.+?) *\|$/;
const rulePattern = /^-+$/;
const proofPattern = /`(?<file>test\/[^`]+)`(?: “(?<title>[^”]+)”)?/g;

/** So that a table that is not recognized any more does not pass for one without claims. */
const leastRows: Readonly<Record<string, number>> = {
  'docs/recovery.md': 30,
  'docs/options.md': 10,
  'docs/operations.md': 5,
  'docs/upgrade.md': 15,
  'docs/swarm.md': 2,
};

interface Row {
  readonly claim: string;
  readonly proof: string;
}

/** The rows of the tables below this heading of a column. */
function rowsBelow(text: string, heading: string): readonly Row[] {
  const rows: Row[] = [];
  let isBelow = false;
  for (const line of text.split('\n')) {
    const { claim = '', proof = '' } = rowPattern.exec(line)?.groups ?? {};
    if (claim === '') isBelow = false;
    else if (proof === heading) isBelow = true;
    else if (isBelow && !rulePattern.test(claim)) rows.push({ claim, proof });
  }
  return rows;
}

for (const file of await documentFiles()) {
  test(`${file}: each sentence of its tables of claims names a test that exists`, async (t) => {
    const rows = rowsBelow(await readFile(join(root, file), 'utf8'), 'shown by');
    t.true(rows.length >= (leastRows[file] ?? 0), `only ${rows.length} rows`);
    for (const { claim, proof } of rows) {
      const proofs = [...proof.matchAll(proofPattern)];
      t.not(proofs.length, 0, `no test for "${claim}"`);
      for (const { groups: { file: shower = '', title = '' } = {} } of proofs) {
        const source = await readFile(join(root, shower), 'utf8');
        t.true(source.includes(title), `${shower} has no test "${title}", which is to show "${claim}"`);
      }
    }
  });
}

test('README: each promise names tests that exist', async (t) => {
  const rows = rowsBelow(await readFile(join(root, 'README.md'), 'utf8'), 'proved in');
  t.true(rows.length > 10, `only ${rows.length} rows`);
  for (const { claim, proof } of rows) {
    const paths = Array.from(proof.matchAll(proofPattern), ({ groups }) => groups?.['file'] ?? '');
    t.not(paths.length, 0, `no test for "${claim}"`);
    for (const path of paths) await t.notThrowsAsync(stat(join(root, path)), `${path}, which is to prove "${claim}"`);
  }
});
