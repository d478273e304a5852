/** `npm run package:esx`: the VIB of the service, in build/packages. Never run on hardware. */
import { join } from 'node:path';
import { projectFolder } from '../payload/project.ts';
import { told } from '../told.ts';
import { buildVib } from './build.ts';

console.log(await told(await buildVib(join(projectFolder, 'build/packages'))));
