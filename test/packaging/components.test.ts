/** What is told of others' work in our packages. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { JsonStrictValidator } from '@cyclonedx/cyclonedx-library/Validation';
import { Version } from '@cyclonedx/cyclonedx-library/Spec';
import { type Component, noticesOf } from '../../packaging/others/component.ts';
import { debianComponents } from '../../packaging/others/debian-components.ts';
import { npmComponents } from '../../packaging/others/npm-components.ts';
import { sbomOf } from '../../packaging/release/sbom.ts';

const mit = 'The text of the MIT licence.';
const one: Component = { name: 'one', version: '1.0.0', licence: 'MIT', texts: [mit], purl: 'pkg:npm/one@1.0.0' };
const two: Component = { name: 'two', version: '2.0.0', licence: 'MIT', texts: [mit], purl: 'pkg:npm/two@2.0.0' };
const tool: Component = {
  name: 'e2fsprogs',
  version: '1.47.0-2',
  licence: undefined,
  texts: ['A copyright file.'],
  purl: 'pkg:deb/debian/e2fsprogs@1.47.0-2?arch=amd64',
};
const product = { name: 'docker-volume-vmdk', version: '0.1.0', licence: 'Apache-2.0' };

/** A project with one package, in a folder of another one's. */
async function projectWith(
  t: ExecutionContext,
  description: object,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'project-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const place = join(folder, 'node_modules/outer/node_modules/@scope/inner');
  await mkdir(place, { recursive: true });
  await writeFile(
    join(place, 'package.json'),
    JSON.stringify({ name: '@scope/inner', version: '1.2.3', ...description }),
  );
  for (const [name, text] of Object.entries(files)) await writeFile(join(place, name), text);
  return folder;
}
const inputs = ['plugin/main.ts', 'node_modules/outer/node_modules/@scope/inner/lib/index.js'];

test('others: a bundled package is told with its version, its licence and all its texts', async (t) => {
  const folder = await projectWith(
    t,
    { license: 'MIT' },
    { 'LICENSE.md': mit, NOTICE: 'Notice this.', 'index.js': '' },
  );
  t.deepEqual(await npmComponents(folder, inputs), [
    {
      name: '@scope/inner',
      version: '1.2.3',
      licence: 'MIT',
      texts: [mit, 'Notice this.'],
      purl: 'pkg:npm/%40scope/inner@1.2.3',
    },
  ]);
});

test('others: a package without a licence, or without its text, is refused by name', async (t) => {
  const nameless = await projectWith(t, {}, { LICENSE: mit });
  await t.throwsAsync(npmComponents(nameless, inputs), { message: /@scope\/inner does not name its licence/ });
  const textless = await projectWith(t, { license: 'MIT' }, { 'licensed.js': '' });
  await t.throwsAsync(npmComponents(textless, inputs), { message: /@scope\/inner \(MIT\) has no file/ });
});

test('others: a package of Debian is told when a file of it is taken, with the licences that its copyright names', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'debian-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  const found = { version: '1:2.0-1', architecture: 'amd64' };
  const listed = ['taken', 'left'].map((name) => ({ name, ...found, files: [`usr/sbin/${name}`] }));
  await write('packages.json', JSON.stringify(listed));
  const copyright = 'The full text is in /usr/share/common-licenses/GPL-2.\n';
  await write('usr/share/doc/taken/copyright', copyright);
  await write('usr/share/common-licenses/GPL-2', 'GNU GENERAL PUBLIC LICENSE');
  t.deepEqual(await debianComponents(folder, [join(folder, 'usr/sbin/taken')]), [
    {
      name: 'taken',
      version: '1:2.0-1',
      licence: undefined,
      texts: [copyright, 'GNU GENERAL PUBLIC LICENSE'],
      purl: 'pkg:deb/debian/taken@1%3A2.0-1?arch=amd64',
    },
  ]);
});

test('others: packages that share a licence’s text share it in the notices', (t) => {
  const notices = noticesOf([two, tool, one, one]);
  t.is(notices.split(mit).length, 2);
  t.true(notices.includes('one 1.0.0 (MIT)\ntwo 2.0.0 (MIT)\n\n'));
  t.true(notices.includes('e2fsprogs 1.47.0-2\n\nA copyright file.\n'));
});

test('others: the list of components is valid CycloneDX, and the same whatever the order', async (t) => {
  const sbom = sbomOf(product, [two, tool, one]);
  t.is(await new JsonStrictValidator(Version.v1dot6).validate(sbom), null);
  t.is(sbomOf(product, [one, two, tool]), sbom);
  const { components, metadata } = JSON.parse(sbom) as {
    readonly components: readonly { readonly purl: string }[];
    readonly metadata: { readonly component: { readonly version: string } };
  };
  t.deepEqual(
    components.map(({ purl }) => purl),
    [tool, one, two].map(({ purl }) => purl),
  );
  t.is(metadata.component.version, '0.1.0');
});
