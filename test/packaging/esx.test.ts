/** The VIB: its structure, and what of it can be tried without an ESXi. It was never run on hardware. */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { arArchive } from '../../packaging/esx/archive.ts';
import { buildVib, esxHome } from '../../packaging/esx/build.ts';
import { serviceConfigSchema } from '../../esx-service/config.ts';
import { mustRun, runCommand } from '../../scripts/command.ts';
import { scratch } from '../native/support/scratch.ts';

const hashed = (kind: string, bytes: Buffer): string => createHash(kind).update(bytes).digest('hex');

test('ar: archives are what ar reads, members of odd length too', async (t) => {
  const place = await scratch(t);
  const path = place.path('archive');
  const members = ['', 'a', 'ab', 'abc'].map((text, index) => ({
    name: `member-${index}`,
    contents: Buffer.from(text),
  }));
  await writeFile(path, arArchive(members, 1_700_000_000));
  t.is(await mustRun(['ar', 't', path]), 'member-0\nmember-1\nmember-2\nmember-3\n');
  for (const { name, contents } of members) t.is(await mustRun(['ar', 'p', path, name]), String(contents));
  t.throws(() => arArchive([{ name: 'a-name-that-is-too-long', contents: Buffer.alloc(0) }], 0));
});

test('vib (structure only): it has descriptor, signature and payload in this order, and the checksums are right', async (t) => {
  const place = await scratch(t);
  const vib = await buildVib(place.folder);
  t.is(await mustRun(['ar', 't', vib]), 'descriptor.xml\nsig.pkcs7\nvmdkops\n');
  await mustRun(['sh', '-c', 'cd "$1" && ar x "$2"', 'sh', place.folder, vib]);
  t.is((await readFile(place.path('sig.pkcs7'))).length, 0);
  const descriptor = await readFile(place.path('descriptor.xml'), 'utf8');
  const payload = await readFile(place.path('vmdkops'));
  const tar = gunzipSync(payload);
  t.true(descriptor.includes(`size="${payload.length}"`));
  t.true(descriptor.includes(`<checksum checksum-type="sha-256">${hashed('sha256', payload)}<`));
  t.true(descriptor.includes(`"gunzip">${hashed('sha1', tar)}<`));
  await mustRun(['tar', '--extract', '--gzip', '--file', place.path('vmdkops'), '--directory', place.folder]);
  const listed = [...descriptor.matchAll(/<file>(.+)<\/file>/g)].map(([, name]) => name ?? '');
  const found = await mustRun(['sh', '-c', 'cd "$1" && find etc usr ! -type d', 'sh', place.folder]);
  t.deepEqual(listed, found.trim().split('\n').toSorted());
  for (const file of ['descriptor.xml', 'etc/vmware/firewall/docker-volume-vmdk.xml']) {
    await mustRun(['python3', '-c', 'import sys, xml.dom.minidom as dom; dom.parse(sys.argv[1])', place.path(file)]);
  }
  await mustRun(['sh', '-n', place.path('etc/init.d/vmdkopsd')]);
  const configuration = await readFile(place.path('etc/docker-volume-vmdk/esx-service.json'), 'utf8');
  t.notThrows(() => serviceConfigSchema.parse(JSON.parse(configuration)));
  // As the start-up script calls it, with nothing of this machine but the kernel.
  const home = join(place.folder, esxHome);
  const loader = [join(home, 'lib/ld-linux-x86-64.so.2'), '--library-path', join(home, 'lib')] as const;
  const daemon = [...loader, join(home, 'bin/node'), join(home, 'dist/vmdkopsd.js'), '--no-such-flag'] as const;
  t.regex((await runCommand(daemon)).stderr, /vmdkopsd: configuration: .*--no-such-flag/);
});
