/** The product's Debian packages for tests: as they are shipped, but not compressed, which would take most of the time. */
import { join } from 'node:path';
import type { PackageName } from '../../../packaging/debian/packages.ts';
import { buildDebianPackage } from '../../../packaging/debian/build.ts';
import { packagesFolder } from './machine.ts';

/** @returns where a machine finds it */
export async function packageForMachine(name: PackageName, version: string): Promise<string> {
  const path = await buildDebianPackage({
    name,
    architecture: 'amd64',
    version,
    folder: packagesFolder,
    isLoose: true,
  });
  return join('/srv/packages', path.slice(packagesFolder.length + 1));
}
