/**
 * `npm run package:lint`: what lintian says of the packages in build/packages. Lintian is installed in a small Debian of its
 * own, since it brings a hundred packages.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { runCommand } from '../../scripts/command.ts';
import { projectFolder } from '../payload/project.ts';
import { smallDebian } from './small-debian.ts';

const packagesFolder = join(projectFolder, 'build/packages');
const minutes = 60_000;

const root = await smallDebian('lintian', ['lintian']);
const files = (await readdir(packagesFolder)).filter((name) => name.endsWith('.deb')).toSorted();
if (files.length === 0) throw new Error('there are no packages: run npm run package:deb before');
const script = `mount --bind "$2" "$1/mnt" && exec chroot "$1" env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 \
  lintian --allow-root --no-cfg --fail-on error,warning $3`;
const paths = files.map((name) => `/mnt/${name}`).join(' ');
const { code, stdout, stderr } = await runCommand(
  ['unshare', '--mount', 'sh', '-c', script, 'sh', root, packagesFolder, paths],
  { timeoutMs: 20 * minutes },
);
console.log(`${stdout}${stderr}${files.length} packages, ${code === 0 ? 'no complaint' : 'see above'}`);
process.exitCode = code;
