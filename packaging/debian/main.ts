/** `npm run package:deb`: both Debian packages for both architectures, in build/packages. Names one or more: only these. */
import { join } from 'node:path';
import process from 'node:process';
import { architectures, type Architecture } from '../payload/architectures.ts';
import { projectFolder } from '../payload/project.ts';
import { told } from '../told.ts';
import { buildDebianPackage } from './build.ts';
import { packageNames } from './packages.ts';

const wanted = process.argv.slice(2);
for (const architecture of Object.keys(architectures) as readonly Architecture[]) {
  if (wanted.length > 0 && !wanted.includes(architecture)) continue;
  for (const name of packageNames) {
    const path = await buildDebianPackage({ name, architecture, folder: join(projectFolder, 'build/packages') });
    console.log(await told(path));
  }
}
