/** `npm run package:oci [-- amd64 arm64]`: the image of the service, as build/packages/oci-ARCHITECTURE. */
import { join } from 'node:path';
import process from 'node:process';
import { type Architecture, architectures } from '../payload/architectures.ts';
import { projectFolder } from '../payload/project.ts';
import { told } from '../told.ts';
import { assembleImage } from './assemble.ts';

const wanted = process.argv.slice(2);
for (const architecture of Object.keys(architectures) as readonly Architecture[]) {
  if (wanted.length > 0 && !wanted.includes(architecture)) continue;
  const folder = join(projectFolder, 'build/packages', `oci-${architecture}`);
  await assembleImage(architecture, folder);
  console.log(await told(join(folder, 'index.json')));
}
